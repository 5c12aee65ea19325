"""Twilio Media Streams, as https://www.twilio.com/docs/voice/media-streams/websocket-messages."""

import json

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.twilio import Twilio
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import MULAW, b64, codes, packets, parse_all, sound_of, start_of, stops

STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
SOUND = codes(MULAW, 0.6)


def call(tracks=("inbound",), parameters=None, **changes):
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1} | changes
    yield {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    yield {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": STREAM,
        "start": {
            "accountSid": "AC0",
            "streamSid": STREAM,
            "callSid": "CA0",
            "tracks": list(tracks),
            "mediaFormat": form,
            "customParameters": parameters or {"FirstName": "Jane"},
        },
    }
    for number, packet in enumerate(packets(SOUND, 160)):
        for track in tracks:
            body = {"track": track, "chunk": str(number + 1), "timestamp": str(20 * number)}
            body["payload"] = b64(packet)
            yield {"event": "media", "sequenceNumber": "3", "media": body, "streamSid": STREAM}
    yield {"event": "dtmf", "streamSid": STREAM, "dtmf": {"track": "inbound_track", "digit": "1"}}
    yield {"event": "mark", "sequenceNumber": "9", "streamSid": STREAM, "mark": {"name": "m"}}
    yield {"event": "stop", "sequenceNumber": "10", "stop": {"callSid": "CA0"}, "streamSid": STREAM}


@pytest.mark.parametrize("tracks", [("inbound",), ("inbound", "outbound"), ("outbound",)])
def test_a_call(tracks):
    parsed = parse_all(Twilio(), call(tracks))
    start = start_of(parsed)
    assert (start.stream_id, start.call_id) == (STREAM, "CA0")
    assert start.options.media == MediaFormat("mulaw", 8000)
    assert all(sound_of(parsed, track) == SOUND for track in tracks)
    assert stops(parsed) == 1


def test_parameters_are_options():
    options = start_of(parse_all(Twilio(), call(parameters={"track": "outbound"}))).options
    assert options.track == "outbound"
    with pytest.raises(RequestError, match="task is one of"):
        parse_all(Twilio(), call(parameters={"task": "billing"}))


@pytest.mark.parametrize(
    "changes", [{"encoding": "audio/x-alaw"}, {"sampleRate": 16_000}, {"channels": 2}]
)
def test_another_format_is_refused(changes):
    with pytest.raises(RequestError, match="8000 Hz"):
        parse_all(Twilio(), call(**changes))


@pytest.mark.parametrize(
    "message", [{"event": "start"}, {"event": "media"}, {"event": "sing"}, {}, [], "media"]
)
def test_an_unknown_message_is_refused(message):
    with pytest.raises(RequestError):
        Twilio().parse(json.dumps(message))
    with pytest.raises(RequestError):
        Twilio().parse(SOUND)
