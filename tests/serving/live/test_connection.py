"""Live calls over a WebSocket: their final answer equals the library's, bit for bit."""

import base64
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from emo_serving.live import utterance
from helpers.platform_calls import MULAW, codes, packets
from helpers.sounds import speechlike

TEXT = "¡Llevo tres semanas esperando una solución!"


@pytest.fixture
def socket(client):
    with client.websocket_connect("/v1/stream") as opened:
        yield opened


def begin(socket, *, form=None, **parameters):
    socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    start = {"accountSid": "AC", "callSid": "CA", "tracks": ["inbound"]}
    start["mediaFormat"] = form or {
        "encoding": "audio/x-mulaw",
        "sampleRate": 8000,
        "channels": 1,
    }
    start["customParameters"] = {"interval_ms": "60000"} | parameters
    socket.send_json({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ1"})


def media(socket, packet, track="inbound"):
    payload = base64.b64encode(packet).decode()
    body = {"track": track, "chunk": "2", "timestamp": "5", "payload": payload}
    socket.send_json({"event": "media", "sequenceNumber": "4", "media": body, "streamSid": "MZ1"})


def say(socket, sound, size=160, **options):
    for packet in packets(sound, size):
        media(socket, packet, **options)


def transcript(socket, text):
    socket.send_json({"event": "transcript", "transcript": {"text": text}})


def stop(socket):
    """Send ``stop``; return the event that follows."""
    socket.send_json({"event": "stop", "sequenceNumber": "5", "stop": {"callSid": "CA"}})
    return socket.receive_json()


def scores(event):
    assert event["event"] == "emotion", event
    return event["answer"]["scores"]


def test_a_call_with_sound_and_transcript(socket, recognizer):
    sound = codes(MULAW, 1.7)
    begin(socket)
    transcript(socket, "¡Llevo")
    say(socket, sound)
    transcript(socket, TEXT)
    event = stop(socket)
    assert (event["streamSid"], event["final"]) == ("MZ1", True)
    sound_in = MULAW[np.frombuffer(sound, np.uint8)], 8000
    assert scores(event) == recognizer.recognize(TEXT, sound_in).scores


def test_several_utterances_in_one_connection(socket, recognizer):
    for seed in range(3):
        sound = codes(MULAW, 0.7, seed=seed)
        begin(socket)
        say(socket, sound, 333)
        sound_in = MULAW[np.frombuffer(sound, np.uint8)], 8000
        assert scores(stop(socket)) == recognizer.recognize(None, sound_in).scores


def test_binary_samples_may_be_cut_anywhere(socket, recognizer):
    sound = speechlike(1.3, 48_000)
    begin(socket, form={"encoding": "pcm_f32le", "sampleRate": 48_000}, text=TEXT)
    data = sound.tobytes()
    for at in range(0, len(data), 4097):  # frames are cut anywhere
        socket.send_bytes(data[at : at + 4097])
    assert scores(stop(socket)) == recognizer.recognize(TEXT, (sound, 48_000)).scores


def test_a_call_without_sound(socket, recognizer):
    begin(socket, task="text")
    say(socket, codes(MULAW, 0.1))
    transcript(socket, TEXT)
    assert scores(stop(socket)) == recognizer.recognize(TEXT).scores


@pytest.fixture
def _steady_clock(monkeypatch):
    """Let 30 ms pass with each reading of an utterance's clock."""
    times = itertools.count(0.0, 0.03)
    monkeypatch.setattr(utterance, "time", SimpleNamespace(monotonic=lambda: next(times)))


@pytest.mark.usefixtures("_steady_clock")
def test_events_come_at_the_chosen_rate(socket):
    begin(socket, interval_ms=100, text=TEXT)
    for _ in range(12):
        media(socket, codes(MULAW, 0.2))
    socket.send_json({"event": "stop"})
    events = [socket.receive_json() for _ in range(4)]
    assert [event["answer"]["duration_s"] for event in events] == [0.8, 1.6, 2.4, 2.4]
    assert [event["final"] for event in events] == [False, False, False, True]


@pytest.mark.usefixtures("_steady_clock")
def test_there_is_no_event_before_an_answer_is_possible(socket):
    begin(socket, interval_ms=100, task="fusion")
    for _ in range(7):
        media(socket, codes(MULAW, 0.2))
    transcript(socket, TEXT)
    event = socket.receive_json()
    assert (event["answer"]["task"], event["answer"]["duration_s"]) == ("fusion", 1.4)


def test_a_mark_is_answered_for_everything_so_far(socket, recognizer):
    begin(socket)
    transcript(socket, TEXT)
    say(socket, codes(MULAW, 0.5))
    socket.send_json({"event": "mark", "streamSid": "MZ1", "mark": {"name": "here"}})
    event = socket.receive_json()
    assert (event["mark"], event["final"], event["answer"]["duration_s"]) == ("here", False, 0.5)


def test_other_tracks_are_ignored(socket, recognizer):
    sound = codes(MULAW, 0.6)
    begin(socket)
    say(socket, codes(MULAW, 0.4, seed=8), track="outbound")
    say(socket, sound)
    sound_in = MULAW[np.frombuffer(sound, np.uint8)], 8000
    assert scores(stop(socket)) == recognizer.recognize(None, sound_in).scores


def test_dtmf_is_ignored(socket):
    begin(socket, text=TEXT)
    socket.send_json({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "1"}})
    assert stop(socket)["final"]


START = {"event": "start", "start": {}}


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        (["nothing"], "RequestError"),
        ([{"event": "sing"}], "RequestError"),
        ([{"event": "media", "media": {"payload": "aGk="}}], "RequestError"),
        ([{"event": "stop"}], "RequestError"),
        ([{"event": "mark"}], "RequestError"),
        ([START, START], "RequestError"),
        ([START, {"event": "stop"}], "TaskError"),
        ([START, {"event": "mark"}], "TaskError"),
        ([START, {"event": "media", "media": {"payload": "%"}}], "RequestError"),
        ([START, {"event": "transcript", "transcript": {"text": "no" * 11_000}}], "TooLargeError"),
    ],
)
def test_a_wrong_message_is_an_error(socket, messages, kind):
    for message in messages:
        socket.send_text(message) if isinstance(message, str) else socket.send_json(message)
    event = socket.receive_json()
    assert (event["event"], event["error"]["kind"]) == ("error", kind)


@pytest.mark.parametrize(
    ("form", "parameters", "kind"),
    [
        ({"encoding": "opus"}, {}, "RequestError"),
        ({"sampleRate": 1}, {}, "AudioError"),
        ({"channels": 99}, {}, "ArgumentError"),
        ({}, {"interval_ms": "1"}, "RequestError"),
        ({}, {"interval_ms": "nan"}, "RequestError"),
        ({}, {"task": "sing"}, "RequestError"),
        ({}, {"window_s": "-1"}, "RequestError"),
        ({}, {"window_s": 1e9}, "TooLargeError"),
    ],
)
def test_a_wrong_option_is_an_error(socket, form, parameters, kind):
    begin(socket, form={"encoding": "mulaw"} | form, **parameters)
    assert socket.receive_json()["error"]["kind"] == kind


@pytest.mark.parametrize("place", [3, 30, 49])
def test_samples_that_are_not_finite_are_left_out(socket, recognizer, place):
    sound = speechlike(1.0, 16_000)
    begin(socket, form={"encoding": "pcm_f32le", "sampleRate": 16_000}, interval_ms=60_000)
    for number, packet in enumerate(np.split(sound, 50)):
        socket.send_bytes(packet.tobytes())
        if number == place:
            socket.send_bytes(np.full(320, np.nan, np.float32).tobytes())
    assert stop(socket)["error"]["kind"] == "AudioError"
    assert scores(socket.receive_json()) == recognizer.recognize(None, (sound, 16_000)).scores


def closes(socket):
    """Return the code that the server closes with, and the number of errors before it."""
    for errors in itertools.count():
        try:
            assert socket.receive_json()["event"] == "error"
        except WebSocketDisconnect as end:
            return end.code, errors


def test_many_errors_within_a_minute_close_the_connection(socket):
    for _ in range(16):
        socket.send_text("nothing")
    assert closes(socket) == (1008, 16)


def test_errors_of_earlier_minutes_do_not_count(start, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("emo_serving.live.connection.time.monotonic", lambda: now[0])
    with start(max_errors_per_minute=3).websocket_connect("/v1/stream") as socket:
        for seconds in (0, 30, 61, 100, 130):
            now[0] = seconds
            socket.send_text("nothing")
            assert socket.receive_json()["event"] == "error"
        now[0] = 140
        socket.send_text("nothing")
        assert closes(socket) == (1008, 1)


def test_a_message_beyond_the_limit_closes_the_connection(start):
    with start(max_message_bytes=1000).websocket_connect("/v1/stream") as socket:
        socket.send_text(" " * 1001)
        assert closes(socket) == (1009, 0)


def test_an_idle_connection_is_closed(start):
    client = start(idle_s=0.5)
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket)
        assert closes(socket) == (1008, 0)
    assert client.app.service.admission.streams == 0


def test_a_long_utterance_is_answered_for_its_latest_sound(start, recognizer):
    sound = codes(MULAW, 2.0)
    with start(max_stream_s=1.0).websocket_connect("/v1/stream") as socket:
        begin(socket)
        say(socket, sound, 1600)
        event = stop(socket)
    stream = recognizer.stream(sample_rate=8000, encoding="mulaw", window_s=1.0)
    stream.feed(sound)
    assert scores(event) == stream.finish().scores


def test_live_calls_have_a_limit(start):
    client = start(max_streams=1)
    with client.websocket_connect("/v1/stream"):
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/v1/stream"),
        ):
            pass
        assert caught.value.status_code == 429  # type: ignore[attr-defined]
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket, text=TEXT)
        assert stop(socket)["final"]


def test_a_stopping_server_sends_the_final_answer_first(start, recognizer):
    client = start()
    admission = client.app.service.admission
    with client.websocket_connect("/v1/stream") as socket:
        begin(socket, text=TEXT)
        socket.send_json({"event": "mark"})
        socket.receive_json()
        admission.stopping = admission.draining = True
        assert client.get("/readyz").status_code == 503
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect("/v1/stream"),
        ):
            pass
        assert caught.value.status_code == 503  # type: ignore[attr-defined]
        admission.closing = True
        event = socket.receive_json()
        assert event["final"]
        assert scores(event) == recognizer.recognize(TEXT).scores
        assert closes(socket) == (1012, 0)
