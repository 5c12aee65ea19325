"""Access rules: host names, tokens, origins, compressed bodies."""

import base64
import socket

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from emo_serving.api.access import address_key
from emo_serving.app import create_app
from emo_serving.settings import Settings
from emo_serving.tokens import Token
from helpers.corpora import SMALL_BUNDLE

BODY = {"json": {"text": "hola"}}
# Letters that a WebSocket subprotocol must not have.
ODD = "a=b/c+d=="


def kind(reply):
    return reply.json()["error"]["kind"]


@pytest.mark.parametrize("secret", ["s3creto", ODD])
def test_a_token_is_required(start, secret):
    client = start(tokens=(Token(secret),))
    for given in (None, "Bearer", "Bearer x", f"Basic {secret}", f"Bearer {secret}ó"):
        headers = {} if given is None else {"authorization": given.encode()}
        reply = client.post("/v1/recognize", headers=headers, **BODY)
        assert (reply.status_code, kind(reply)) == (401, "UnauthorizedError")
        assert reply.headers["www-authenticate"] == "Bearer"
    good = {"authorization": f"Bearer {secret}"}
    assert client.post("/v1/recognize", headers=good, **BODY).status_code == 200
    for path in ("/metrics", "/v1/bundle", "/v2", "/openapi.json"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=good).status_code == 200
    for path in ("/", "/page/page.css", "/healthz", "/readyz", "/v2/health/ready"):
        assert client.get(path).status_code == 200
    assert secret not in repr(client.app.service.settings)


@pytest.mark.parametrize("secret", ["s3creto", ODD, "contraseña"])
def test_a_browser_offers_its_token_as_a_subprotocol(start, secret):
    client = start(tokens=(Token(secret),))
    encoded = base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")
    for wrong in ([], ["bearer.x"], ["bearer64.%%%"], ["bearer64._w"]):
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/v1/stream", subprotocols=["emo-stream", *wrong]),
        ):
            pass
        assert caught.value.status_code == 401  # type: ignore[attr-defined]
    offered = ["emo-stream", f"bearer64.{encoded}"]
    with client.websocket_connect("/v1/stream", subprotocols=offered) as websocket:
        assert websocket.accepted_subprotocol == "emo-stream"


def test_a_plain_token_is_still_accepted_as_a_subprotocol(start):
    client = start(tokens=(Token("s3creto"),))
    with client.websocket_connect(
        "/v1/stream", subprotocols=["emo-stream", "bearer.s3creto"]
    ) as call:
        assert call.accepted_subprotocol == "emo-stream"


def test_each_token_has_its_own_limit(start, held):
    tokens = (Token("one", "one", max_streams=0), Token("two", "two"))
    client = start(tokens=tokens)
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/v1/stream", headers={"authorization": "Bearer one"}),
    ):
        pass
    assert caught.value.status_code == 429  # type: ignore[attr-defined]
    with client.websocket_connect("/v1/stream", headers={"authorization": "Bearer two"}):
        pass


def test_pages_of_other_origins_are_refused(start):
    client = start(origins=("https://friend.example",))
    for origin, status in [
        ("https://elsewhere.example", 403),
        ("http://[", 403),
        ("null", 403),
        ("https://friend.example", 200),
        ("http://localhost", 200),
    ]:
        reply = client.post("/v1/recognize", **BODY, headers={"origin": origin})
        assert reply.status_code == status, origin
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/v1/stream", headers={"origin": "https://elsewhere.example"}),
    ):
        pass
    assert caught.value.status_code == 403  # type: ignore[attr-defined]


PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


def test_pages_of_an_allowed_origin_pass_the_browsers_checks(start):
    client = start(origins=("https://friend.example",), tokens=(Token("s3creto"),))
    origin = {"origin": "https://friend.example"}
    preflight = client.options("/v1/recognize", headers=origin | PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "https://friend.example"
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type"} <= {name.strip() for name in allowed.split(",")}
    for headers, status in [(origin | {"authorization": "Bearer s3creto"}, 200), (origin, 401)]:
        reply = client.post("/v1/recognize", **BODY, headers=headers)
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == "https://friend.example"
        assert "origin" in reply.headers["vary"].lower()


def test_other_origins_get_no_permission(start):
    client = start(origins=("https://friend.example",))
    origin = {"origin": "https://elsewhere.example"}
    preflight = client.options("/v1/recognize", headers=origin | PREFLIGHT)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert "access-control-allow-origin" not in client.get("/v1/bundle", headers=origin).headers


def test_every_origin_can_be_allowed(start):
    client = start(origins=("*",))
    reply = client.post("/v1/recognize", **BODY, headers={"origin": "https://any.example"})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == "*"


@pytest.fixture(scope="module")
def strict():
    """A client of an application with the default rules for host names."""
    app = create_app(Settings(bundle=str(SMALL_BUNDLE), threads=1))
    with TestClient(app, base_url="http://localhost") as session:
        yield session


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        (socket.gethostname(), 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_other_host_names_are_refused(strict, host, status):
    client = strict
    reply = client.get("/v1/bundle", headers={"host": host})
    assert reply.status_code == status
    if status == 421:
        assert kind(reply) == "HostError"
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_a_websocket_for_another_host_name_is_refused(strict):
    client = strict
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/v1/stream", headers={"host": "evil.example"}),
    ):
        pass
    assert caught.value.status_code == 421  # type: ignore[attr-defined]


def test_host_names_can_be_allowed(start):
    client = start(allowed_hosts=("emo.example",))
    for host, status in [("emo.example", 200), ("localhost", 421), ("127.0.0.1", 421)]:
        assert client.get("/v1/bundle", headers={"host": host}).status_code == status
    client = start(allowed_hosts=("*",))
    assert client.get("/v1/bundle", headers={"host": "any.example"}).status_code == 200


def test_with_a_token_any_host_name_is_accepted(start):
    client = start(tokens=(Token("s3creto"),), allowed_hosts=())
    headers = {"host": "emo.example", "authorization": "Bearer s3creto"}
    assert client.get("/v1/bundle", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/recognize", "/v1/recognize/batch", "/v2/models/emo-es-small/infer"]
)
@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, identity"])
def test_compressed_bodies_are_refused(client, path, encoding):
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    assert client.post(path, content=b"\x1f\x8b", headers=headers).status_code == 415


def test_identity_is_no_compression(client):
    headers = {"content-encoding": "identity"}
    assert client.post("/v1/recognize", **BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_client_is_its_network(address, key):
    assert address_key(address) == key
