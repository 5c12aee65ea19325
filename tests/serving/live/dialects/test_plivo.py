"""Plivo Audio Streaming, as https://www.plivo.com/docs/voice/xml/audiostream documents it."""

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.plivo import Plivo
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import MULAW, b64, codes, packets, parse_all, sound_of, start_of

STREAM = "20170ada-f610-433b-8758-c02a2aab3662"
SOUND = codes(MULAW, 0.6)


def call(encoding="audio/x-mulaw", rate=8000, headers="task=audio, interval_ms=1000"):
    yield {
        "sequenceNumber": 0,
        "event": "start",
        "start": {
            "callId": "7b2f",
            "streamId": STREAM,
            "accountId": "MA",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": encoding, "sampleRate": rate},
        },
        "extra_headers": headers,
    }
    for number, packet in enumerate(packets(SOUND, 160)):
        body = {"track": "inbound", "timestamp": "1", "chunk": number + 1, "payload": b64(packet)}
        yield {"sequenceNumber": number + 1, "streamId": STREAM, "event": "media", "media": body}
    yield {"event": "dtmf", "streamId": STREAM, "dtmf": {"track": "inbound", "digit": "1"}}
    yield {"event": "playedStream", "streamId": STREAM, "name": "greeting"}


def test_a_call():
    parsed = parse_all(Plivo(), call())
    start = start_of(parsed)
    assert (start.stream_id, start.call_id) == (STREAM, "7b2f")
    assert start.options.media == MediaFormat("mulaw", 8000)
    assert (start.options.task, start.options.interval_s) == ("audio", 1.0)
    assert sound_of(parsed) == SOUND


@pytest.mark.parametrize(("encoding", "rate"), [("audio/x-l16", 8000), ("audio/x-l16", 16_000)])
def test_linear_pcm_is_refused_with_the_remedy(encoding, rate):
    with pytest.raises(RequestError, match=r"audio/x-mulaw;rate=8000"):
        parse_all(Plivo(), call(encoding, rate))


def test_an_unknown_message_is_refused():
    for message in ({"event": "sing"}, {"event": "media"}, b"\0\0"):
        with pytest.raises(RequestError):
            parse_all(Plivo(), [message])
