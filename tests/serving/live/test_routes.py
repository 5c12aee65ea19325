"""Calls of platforms: events for the application by server-sent events, transcripts by requests."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
import websockets.sync.client as websockets
from starlette.websockets import WebSocketDisconnect

from emo_serving.tokens import Token
from helpers.platform_calls import ALAW, MULAW, b64, codes, packets

TEXT = "¡Llevo tres semanas esperando una solución!"


def telnyx(table, encoding):
    """The messages of a Telnyx call."""
    form = {"encoding": encoding, "sample_rate": 8000, "channels": 1}
    body = {"call_control_id": "c1", "media_format": form}
    yield {"event": "start", "start": body, "stream_id": "s1"}
    for number, packet in enumerate(packets(codes(table, 1.0), 160)):
        media = {"track": "inbound", "chunk": str(number + 1), "payload": b64(packet)}
        yield {"event": "media", "media": media, "stream_id": "s1"}


def events_of(lines):
    """Parse server-sent events."""
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "hang-up"])
@pytest.mark.parametrize(("table", "encoding"), [(MULAW, "PCMU"), (ALAW, "PCMA")])
def test_a_platforms_call_is_answered_to_the_application(
    serving, recognizer, table, encoding, stop
):
    running = serving()
    url = running.url.replace("http", "ws") + "v1/stream/telnyx"
    calls = f"{running.url}v1/calls/c1"
    with ThreadPoolExecutor(1) as pool:
        with websockets.connect(url) as call:
            start, *media = telnyx(table, encoding)
            call.send(json.dumps(start))
            while httpx.post(f"{calls}/transcript", json={"text": TEXT}).status_code == 404:
                threading.Event().wait(0.01)
            listening = pool.submit(lambda: httpx.get(f"{calls}/events", timeout=300).text)
            for message in media:
                call.send(json.dumps(message))
            if stop:
                call.send('{"event": "stop"}')
        found = events_of(listening.result().splitlines())
    sound = table[np.frombuffer(codes(table, 1.0), np.uint8)], 8000
    assert found[-1]["final"]
    assert found[-1]["answer"]["scores"] == recognizer.recognize(TEXT, sound).scores
    assert events_of(httpx.get(f"{calls}/events").text.splitlines())[-1] == found[-1]
    late = httpx.post(f"{calls}/transcript", json={"text": TEXT})
    assert (late.status_code, late.json()["error"]["message"]) == (404, "this call has ended.")


def test_nothing_but_the_protocol_is_sent_to_a_platform(client):
    with client.websocket_connect("/v1/stream/audiohook") as socket:
        media = {"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}
        parameters = {"conversationId": "c2", "media": [media]}
        head = {"version": "2", "id": "s2"}
        socket.send_json(head | {"type": "open", "seq": 1, "parameters": parameters})
        assert socket.receive_json()["type"] == "opened"
        socket.send_bytes(codes(MULAW, 1.0))
        socket.send_text("not a message")
        socket.send_json(head | {"type": "close", "seq": 2, "parameters": {}})
        assert socket.receive_json()["type"] == "closed"
    lines = client.get("/v1/calls/c2/events").text.splitlines()
    assert [event["event"] for event in events_of(lines)] == ["error", "emotion"]


def test_unknown_dialects_and_calls_are_404(client):
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        client.websocket_connect("/v1/stream/nothing"),
    ):
        pass
    assert caught.value.status_code == 404  # type: ignore[attr-defined]
    assert client.get("/v1/calls/nothing/events").status_code == 404
    assert client.post("/v1/calls/nothing/transcript", json={"text": "a"}).status_code == 404


def test_calls_are_visible_to_their_own_token_only(start):
    client = start(tokens=(Token("one", "one"), Token("t/w=o", "two")))
    message = {"event": "start", "streamSid": "s3", "start": {}}
    with client.websocket_connect("/v1/stream/generic/one") as socket:
        socket.send_json(message)
        socket.send_json({"event": "mark"})
        socket.receive_json()
        for secret, status in [("one", 200), ("t/w=o", 404), ("x", 401)]:
            reply = client.post(
                "/v1/calls/s3/transcript",
                json={"text": TEXT},
                headers={"authorization": f"Bearer {secret}"},
            )
            assert reply.status_code == status
        socket.send_json({"event": "stop"})
        assert socket.receive_json()["final"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/stream/twilio/t=w+o", {}),
        ("/v1/stream/exotel", {"authorization": "Basic a2V5OnQ9dytv"}),
        ("/v1/stream/audiohook", {"x-api-key": "t=w+o"}),
    ],
)
def test_tokens_in_the_forms_that_platforms_can_send(start, path, headers):
    client = start(tokens=(Token("t=w+o"),))
    with client.websocket_connect(path, headers=headers):
        pass
    for wrong in (path.replace("t=w", "x"), "/v1/stream/twilio/"):
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect(wrong, headers=dict.fromkeys(headers, "Basic eDp4")),
        ):
            pass
        assert caught.value.status_code in {401, 404}  # type: ignore[attr-defined]


def test_a_server_with_all_its_live_calls_stays_ready(start):
    client = start(max_streams=1)
    with client.websocket_connect("/v1/stream"):
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/v1/stream"),
        ):
            pass
        assert caught.value.status_code == 429  # type: ignore[attr-defined]
        assert client.get("/readyz").status_code == 200


def numbered(text):
    """Return id and content of server-sent events."""
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n")
    ]
    return [(block["id"], json.loads(block["data"])) for block in blocks if "data" in block]


def test_events_after_a_lost_connection(start):
    client = start()
    with client.websocket_connect("/v1/stream") as socket:
        begin = {"callSid": "c9", "customParameters": {"text": TEXT, "interval_ms": 60_000}}
        socket.send_json({"event": "start", "start": begin})
        for number in range(100):
            socket.send_json({"event": "mark", "mark": {"name": str(number)}})
            socket.receive_json()
        channel = client.app.service.calls.get("c9", "")
        run = channel.last_id.removesuffix("-100")
        for after, first in [(97, 98), (50, 51), (5, 37)]:
            replayed = channel._replay(f"{run}-{after}")
            marks = [event.content["mark"] for event in replayed]
            assert marks == [str(number - 1) for number in range(first, 101)], "64 at most"
        for unknown in ("", "other-3", f"{run}-x", f"{run}-\u0663", "-", "9" * 99):
            assert channel._replay(unknown) == [], "only final answers without a known id"
        socket.send_json({"event": "stop"})
        final = socket.receive_json()
    assert len(channel._recent) == 0, "partial answers of an ended call are not kept"
    found = numbered(client.get("/v1/calls/c9/events").text)
    assert found == [(f"{run}-101", final)]
    again = {"Last-Event-ID": f"{run}-99"}
    assert numbered(client.get("/v1/calls/c9/events", headers=again).text) == found
    again = {"Last-Event-ID": f"{run}-101"}
    assert client.get("/v1/calls/c9/events", headers=again).status_code == 204


def test_the_last_event_of_a_call_without_a_final_answer_is_kept(start):
    """Without it a browser that missed it would connect again and again."""
    client = start(idle_s=0.5)
    with client.websocket_connect("/v1/stream") as socket:
        begin = {"callSid": "c10", "customParameters": {"text": TEXT, "interval_ms": 60_000}}
        socket.send_json({"event": "start", "start": begin})
        for _ in range(2):
            socket.send_json({"event": "mark"})
            last = socket.receive_json()
        with pytest.raises(WebSocketDisconnect):  # idle
            socket.receive_json()
    [(last_id, content)] = numbered(client.get("/v1/calls/c10/events").text)
    assert content == last
    run = last_id.removesuffix("-2")
    again = {"Last-Event-ID": f"{run}-1"}
    assert numbered(client.get("/v1/calls/c10/events", headers=again).text) == [(last_id, last)]
    again = {"Last-Event-ID": last_id}
    assert client.get("/v1/calls/c10/events", headers=again).status_code == 204
