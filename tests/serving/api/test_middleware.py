"""The request middleware: request ids, limits before the body, safe 500 responses, 404 and 405."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.websockets import WebSocketDisconnect

SECRET = "una frase muy privada"
UTTERANCE = {"text": SECRET}
TENSORS = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [SECRET]}]}


def kind(reply):
    return reply.json()["error"]["kind"]


def test_requests_beyond_the_limit_are_refused_at_once(start, held):
    client = start(held.open, threads=1, max_waiting=2)
    held.go.clear()
    with ThreadPoolExecutor(3) as pool:
        running = [
            pool.submit(client.post, "/v1/recognize", json={"text": "hola"}) for _ in range(3)
        ]
        admission = client.app.service.admission
        while admission.calls < 3:
            threading.Event().wait(0.01)
        refused = client.post("/v1/recognize", json={"text": "hola"})
        assert (refused.status_code, kind(refused)) == (429, "OverloadedError")
        assert int(refused.headers["retry-after"]) >= 1
        model = client.app.service.recognizer.manifest.name
        triton = client.post(f"/v2/models/{model}/infer", json={"inputs": []})
        assert triton.status_code == 429
        assert isinstance(triton.json()["error"], str)
        assert client.get("/healthz").status_code == 200
        held.go.set()
        assert [future.result().status_code for future in running] == [200] * 3
    assert admission.calls == 0
    assert client.post("/v1/recognize", json={"text": "hola"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "route", "body"),
    [
        ("/v1/recognize", "/v1/recognize", UTTERANCE),
        ("/v1/recognize/batch", "/v1/recognize/batch", {"utterances": [UTTERANCE]}),
        ("/v2/models/emo-es-small/infer", "/v2/models/{name}/infer", TENSORS),
    ],
)
def test_an_unexpected_exception_reveals_nothing_of_the_request(
    start, held, caplog, monkeypatch, path, route, body
):
    client = start(held.open)

    def fail(self, text, audio, **options):
        raise RuntimeError(f"can't handle {text}")

    monkeypatch.setattr(held, "recognize", fail)
    with caplog.at_level(logging.DEBUG):
        reply = client.post(path, json=body, headers={"x-request-id": "r-17"})
    assert reply.status_code == 500
    assert "internal server error" in reply.text
    assert SECRET not in reply.text
    assert f"RuntimeError in {route} (request r-17): fail (" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "<script>", "ñ".encode()])
def test_a_request_without_a_valid_id_gets_one(client, given):
    headers = {} if given is None else {"x-request-id": given}
    made = client.get("/healthz", headers=headers).headers["x-request-id"]
    assert len(made) == 16
    assert int(made, 16) >= 0


def test_a_request_keeps_its_id(client):
    for path in ("/healthz", "/nothing", "/v1/bundle"):
        reply = client.get(path, headers={"x-request-id": "call-17:2"})
        assert reply.headers["x-request-id"] == "call-17:2"


def test_unknown_paths_and_methods(client):
    reply = client.get("/nothing")
    assert (reply.status_code, kind(reply)) == (404, "NotFoundError")
    reply = client.get("/v1/recognize")
    assert (reply.status_code, kind(reply)) == (405, "MethodError")
    assert reply.headers["allow"] == "POST"
    assert client.get("/v2/nothing").json()["error"] == "there is no such path."


@pytest.mark.parametrize("path", ["/v1/bundle/", "/v1/recognize/", "/healthz/"])
def test_no_redirect_goes_to_the_host_that_the_client_named(client, path):
    reply = client.get(path, headers={"host": "127.0.0.1"}, follow_redirects=False)
    assert reply.status_code == 404
    assert "location" not in reply.headers


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v2/health/ready", "/page/main.js"])
def test_head_is_answered_as_get_without_a_body(client, path):
    head = client.head(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == str(len(client.get(path).content))


def test_an_unknown_websocket_path_is_404(client, caplog):
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/v1/nothing"),
    ):
        pass
    assert caught.value.status_code == 404  # type: ignore[attr-defined]
    assert "Traceback" not in caplog.text
