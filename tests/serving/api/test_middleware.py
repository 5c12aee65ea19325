"""Limits, tokens, origins: what is refused, and that nothing a caller says gets into the log."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.websockets import WebSocketDisconnect

from helpers.sounds import as_file, speechlike

SECRET = "una frase muy privada"


def kind(reply):
    return reply.json()["error"]["kind"]


def test_sizes(start):
    client = start(max_body_bytes=200_000, max_text_characters=50, max_duration_s=1.0, max_batch=2)
    sound = as_file(speechlike(1.5, 16_000), 16_000)
    for reply, status in [
        (client.post("/v1/recognize", json={"text": "no " * 17}), 413),
        (client.post("/v1/recognize", json={"text": "no " * 90_000}), 413),
        (client.post("/v1/recognize", files={"audio": ("a.wav", bytes(300_000))}), 413),
        (client.post("/v1/recognize", files={"audio": ("a.wav", sound)}), 422),
        (client.post("/v1/recognize/batch", json={"utterances": [{"text": "a"}] * 3}), 413),
    ]:
        assert reply.status_code == status, reply.text
    reply = client.post("/v1/recognize", content=(bytes(1000) for _ in range(300)))
    assert reply.status_code == 415  # not read at all
    headers = {"content-type": "application/json"}
    endless = (b" " * 1000 for _ in range(300))
    assert client.post("/v1/recognize", content=endless, headers=headers).status_code == 413


def test_what_does_not_fit_is_refused_at_once(start, held):
    client = start(held.open, threads=1, max_waiting=2)
    held.go.clear()

    with ThreadPoolExecutor(3) as pool:
        running = [
            pool.submit(client.post, "/v1/recognize", json={"text": "hola"}) for _ in range(3)
        ]
        gate = client.app.app.state.service.gate
        while gate.calls < 3:
            threading.Event().wait(0.01)
        refused = client.post("/v1/recognize", json={"text": "hola"})
        assert (refused.status_code, kind(refused)) == (429, "OverloadedError")
        assert int(refused.headers["retry-after"]) >= 1
        model = client.app.app.state.service.recognizer.manifest.name
        triton = client.post(f"/v2/models/{model}/infer", json={"inputs": []})
        assert triton.status_code == 429
        assert isinstance(triton.json()["error"], str)
        assert client.get("/healthz").status_code == 200
        held.go.set()
        assert [future.result().status_code for future in running] == [200] * 3
    assert gate.calls == 0
    assert client.post("/v1/recognize", json={"text": "hola"}).status_code == 200


def test_an_answer_that_takes_too_long(start, held):
    client = start(held.open, timeout_s=0.2)
    held.go.clear()
    reply = client.post("/v1/recognize", json={"text": "hola"})
    assert (reply.status_code, kind(reply)) == (503, "UnavailableError")
    assert "retry-after" in reply.headers
    batch = client.post("/v1/recognize/batch", json={"utterances": [{"text": "hola"}]})
    assert batch.status_code == 503


def test_the_token(start):
    client = start(token="s3creto")
    body = {"json": {"text": "hola"}}
    for given in (None, "Bearer", "Bearer x", "Basic s3creto", "Bearer s3cretó"):
        headers = {} if given is None else {"authorization": given.encode()}
        reply = client.post("/v1/recognize", headers=headers, **body)
        assert (reply.status_code, kind(reply)) == (401, "UnauthorizedError")
        assert reply.headers["www-authenticate"] == "Bearer"
    good = {"authorization": "Bearer s3creto"}
    assert client.post("/v1/recognize", headers=good, **body).status_code == 200
    for path in ("/metrics", "/v1/bundle", "/v2", "/openapi.json"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=good).status_code == 200
    for path in ("/", "/page/page.css", "/healthz", "/readyz", "/v2/health/ready"):
        assert client.get(path).status_code == 200
    assert "s3creto" not in repr(client.app.app.state.service.settings)


def test_the_token_of_a_browsers_websocket(start):
    client = start(token="s3creto")
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/v1/stream", subprotocols=["emo-stream"]),
    ):
        pass
    offered = ["emo-stream", "bearer.s3creto"]
    with client.websocket_connect("/v1/stream", subprotocols=offered) as socket:
        assert socket.accepted_subprotocol == "emo-stream"


def test_pages_of_other_origins(start):
    client = start(origins=("https://friend.example",))
    for origin, status in [
        ("https://elsewhere.example", 403),
        ("http://[", 403),
        ("null", 403),
        ("https://friend.example", 200),
        ("http://testserver", 200),
    ]:
        reply = client.post("/v1/recognize", json={"text": "a"}, headers={"origin": origin})
        assert reply.status_code == status, origin
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/v1/stream", headers={"origin": "https://elsewhere.example"}),
    ):
        pass


UTTERANCE = {"text": SECRET}
TENSORS = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [SECRET]}]}


@pytest.mark.parametrize(
    ("path", "route", "body", "direct"),
    [
        ("/v1/recognize", "/v1/recognize", UTTERANCE, True),
        ("/v1/recognize/batch", "/v1/recognize/batch", {"utterances": [UTTERANCE]}, True),
        ("/v2/models/emo-es-small/infer", "/v2/models/{name}/infer", TENSORS, False),
    ],
)
def test_an_accident_is_told_without_what_was_said(
    start, held, caplog, monkeypatch, path, route, body, direct
):
    client = start(held.open)

    def fail(self, text, audio, *, task):
        raise RuntimeError(f"can't cope with {text}")

    monkeypatch.setattr(held, "recognize", fail)
    with caplog.at_level(logging.DEBUG):
        reply = client.post(path, json=body)
    assert reply.status_code == 500
    assert "the server made a mistake" in reply.text
    assert SECRET not in reply.text
    assert f"RuntimeError in a call of {route}: fail (" in caplog.text
    assert ("/fastapi/" in caplog.text) is not direct, "the way that the call took"
    assert SECRET not in caplog.text
