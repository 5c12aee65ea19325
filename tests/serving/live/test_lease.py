"""Calls that send their token with the start message."""

import contextlib
import json
from dataclasses import replace

import httpx2 as httpx
import pytest
import websockets.sync.client as websockets
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import ConnectionClosed

from emo_serving.tokens import Token
from helpers.platform_calls import MULAW, b64, codes
from helpers.processes import wait_until

FORM = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


def begin(call_id="CA1", **parameters):
    body = {"callSid": call_id, "mediaFormat": FORM, "customParameters": parameters}
    return {"event": "start", "streamSid": "MZ1", "start": body}


def media():
    return {"event": "media", "media": {"track": "inbound", "payload": b64(codes(MULAW, 0.5))}}


def send_until_closed(live):
    while True:
        live.send(json.dumps({"event": "connected"}))
        with contextlib.suppress(TimeoutError):
            live.recv(0.01)


def test_a_token_in_the_start_message(serving):
    running = serving(tokens=(Token("t/w=o", "two"), Token("x", "other")))
    admission = running.service.admission
    headers = {"authorization": "Bearer t/w=o"}
    path = f"{running.url}v1/calls/CA1"
    with websockets.connect(running.url.replace("http", "ws") + "v1/stream/twilio") as call:
        call.send(json.dumps({"event": "connected"}))
        assert admission.streams == 0
        for message in (begin(token="t/w=o"), media()):
            call.send(json.dumps(message))
        body = {"text": "hola"}
        while httpx.post(f"{path}/transcript", json=body, headers=headers).status_code == 404:
            pass  # until the start was handled
        assert admission.streams == 1
        call.send('{"event": "stop"}')
    assert '"final":true' in httpx.get(f"{path}/events", headers=headers, timeout=300).text
    other = {"authorization": "Bearer x"}
    assert httpx.get(f"{path}/events", headers=other).status_code == 404
    assert admission.idle


@pytest.mark.parametrize("token", ["", "wrong", None, 7])
def test_a_wrong_token_ends_the_call(start, token):
    client = start(tokens=(Token("two"),))
    with client.websocket_connect("/v1/stream/generic") as call:
        call.send_json(begin(token=token))
        with pytest.raises(WebSocketDisconnect) as caught:
            call.receive_json()
    assert (caught.value.code, caught.value.reason) == (1008, "unauthorized")
    assert client.app.service.admission.idle


def test_sound_before_the_token_is_an_error(start):
    client = start(tokens=(Token("two"),), max_errors_per_minute=2)
    with client.websocket_connect("/v1/stream/generic") as call:
        for _ in range(2):
            call.send_json(media())
            assert "before 'start'" in call.receive_json()["error"]["message"]
        with pytest.raises(WebSocketDisconnect) as caught:
            call.receive_json()
    assert caught.value.reason == "too many errors"


def test_a_call_without_its_token_is_closed_after_the_time_for_a_handshake(serving):
    running = serving(tokens=(Token("two"),))
    url = running.url.replace("http", "ws") + "v1/stream/generic"
    with (
        websockets.connect(url) as silent,
        websockets.connect(url) as busy,
        websockets.connect(url) as good,
    ):
        good.send(json.dumps(begin(token="two")))
        wait_until(lambda: running.service.admission.streams == 1)
        running.service.settings = replace(running.service.settings, head_timeout_s=0.2)
        with pytest.raises(ConnectionClosed, match="unauthorized"):
            silent.recv()
        with pytest.raises(ConnectionClosed, match="unauthorized"):
            send_until_closed(busy)
        good.send(json.dumps({"event": "transcript", "transcript": {"text": "hola"}}))
        good.send(json.dumps({"event": "stop"}))
        while not json.loads(good.recv())["final"]:
            pass  # partial answers, on a slow machine


def test_limits_before_and_after_the_token(start):
    client = start(tokens=(Token("one", "one", max_streams=0),))
    with contextlib.ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(client.websocket_connect("/v1/stream/twilio"))
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/v1/stream/twilio"),
        ):
            pass
        assert caught.value.status_code == 429  # type: ignore[attr-defined]
    assert (
        'emo_refused_total{limit="unauthenticated"} 1.0'
        in client.get("/metrics", headers={"authorization": "Bearer one"}).text
    )
    with client.websocket_connect("/v1/stream/generic") as call:
        call.send_json(begin(token="one"))
        with pytest.raises(WebSocketDisconnect) as caught:
            call.receive_json()
    assert (caught.value.code, caught.value.reason) == (1013, "too many live calls")


def test_the_servers_own_path_needs_its_token_in_the_handshake(start):
    client = start(tokens=(Token("two"),))
    for path in ("/v1/stream", "/v1/stream/twilio/", "/v1/stream/twilio?token=x"):
        with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(path):
            pass
        assert caught.value.status_code == 401  # type: ignore[attr-defined]
    with client.websocket_connect("/v1/stream/twilio?token=two"):
        assert client.app.service.admission.streams == 1
