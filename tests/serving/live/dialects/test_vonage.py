"""Vonage: https://developer.vonage.com/en/voice/voice-api/guides/websockets."""

import json

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.vonage import Vonage
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import packets, parse_all, pcm, sound_of, start_of


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_a_call(rate):
    sound = pcm(0.5, rate)
    connected = {
        "event": "websocket:connected",
        "content-type": f"audio/l16;rate={rate}",
        "call_id": "63f61863",
        "interval_ms": 1000,
        "nested": {"ignored": True},
    }
    notified = {"event": "websocket:notify", "payload": {"x": 1}}
    parsed = parse_all(Vonage(), [connected, *packets(sound, 640), notified])
    start = start_of(parsed)
    assert (start.call_id, start.options.interval_s) == ("63f61863", 1.0)
    assert start.options.media == MediaFormat("pcm_s16le", rate)
    assert sound_of(parsed) == sound


@pytest.mark.parametrize(
    "message",
    [
        {"event": "websocket:connected"},
        {"event": "websocket:connected", "content-type": "audio/l16;rate=44100"},
        {"event": "websocket:connected", "content-type": ["audio/l16;rate=8000"]},
        {"event": "sing"},
        {"event": ["websocket:notify"]},
        {},
        [],
    ],
)
def test_an_unknown_message_is_refused(message):
    with pytest.raises(RequestError):
        parse_all(Vonage(), [json.dumps(message)])
