"""Exotel's applets: https://developer.exotel.com/docs/agentstream/stream-voicebot-applet."""

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.exotel import Exotel
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import b64, packets, parse_all, pcm, sound_of, start_of, stops


def call(sound, encoding="base64", rate="8000", **changes):
    yield {"event": "connected"}
    yield {
        "event": "start",
        "sequence_number": 1,
        "stream_sid": "s1",
        "start": {
            "stream_sid": "s1",
            "call_sid": "c1",
            "account_sid": "a1",
            "from": "1",
            "to": "2",
            "custom_parameters": {"text": "hola"},
            "media_format": {"encoding": encoding, "sample_rate": rate, "bit_rate": "128kbps"},
        }
        | changes,
    }
    for number, packet in enumerate(packets(sound, 3200)):
        body = {"chunk": number + 1, "timestamp": str(100 * number), "payload": b64(packet)}
        yield {"event": "media", "sequence_number": 2, "stream_sid": "s1", "media": body}
    yield {"event": "dtmf", "stream_sid": "s1", "dtmf": {"duration": "100", "digit": "5"}}
    yield {"event": "stop", "sequence_number": 3, "stream_sid": "s1", "stop": {"reason": "x"}}


@pytest.mark.parametrize("rate", ["8000", "16000", "24000"])
def test_a_call_is_little_endian_pcm(rate):
    sound = pcm(0.5, int(rate))
    parsed = parse_all(Exotel(), call(sound, rate=rate))
    start = start_of(parsed)
    assert (start.stream_id, start.call_id, start.options.text) == ("s1", "c1", "hola")
    assert start.options.media == MediaFormat("pcm_s16le", int(rate))
    assert sound_of(parsed) == sound
    assert stops(parsed) == 1


def test_mulaw_where_the_applet_is_set_to_it():
    start = start_of(parse_all(Exotel(), call(b"", "audio/x-mulaw", 8000)))
    assert start.options.media == MediaFormat("mulaw", 8000)


@pytest.mark.parametrize(("encoding", "rate"), [("opus", "8000"), ("base64", "44100")])
def test_another_format_is_refused(encoding, rate):
    with pytest.raises(RequestError, match="media_format must be one of"):
        parse_all(Exotel(), call(b"", encoding, rate))


def test_parameters_must_be_plain():
    with pytest.raises(RequestError, match="strings or numbers"):
        parse_all(Exotel(), call(b"", custom_parameters={"text": ["hola"]}))
