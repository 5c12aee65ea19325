"""Telnyx Media Streaming.

https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket
"""

import json
import random

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.telnyx import Telnyx
from helpers.platform_calls import (
    ALAW,
    MULAW,
    b64,
    codes,
    packets,
    parse_all,
    sound_of,
    start_of,
    stops,
)

STREAM = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC"


def start(encoding):
    return {
        "event": "start",
        "sequence_number": "1",
        "start": {
            "user_id": "3E6F995F",
            "call_control_id": "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9Bb",
            "call_session_id": "ff55a038",
            "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
            "custom_parameters": {"interval_ms": "1000"},
            "media_format": {"encoding": encoding, "sample_rate": 8000, "channels": 1},
        },
        "stream_id": STREAM,
    }


def media(sound, tracks=("inbound",)):
    return [
        {
            "event": "media",
            "sequence_number": "4",
            "media": {
                "track": track,
                "chunk": str(number + 1),
                "timestamp": "5",
                "payload": b64(packet),
            },
            "stream_id": STREAM,
        }
        for number, packet in enumerate(packets(sound, 160))
        for track in tracks
    ]


STOP = {"event": "stop", "sequence_number": "5", "stop": {"user_id": "3"}, "stream_id": STREAM}
CONNECTED = {"event": "connected", "version": "1.0.0"}


@pytest.mark.parametrize(
    ("encoding", "table", "name"), [("PCMU", MULAW, "mulaw"), ("PCMA", ALAW, "alaw")]
)
def test_a_call_in_the_encoding_that_it_names(encoding, table, name):
    sound = codes(table, 0.6)
    messages = [CONNECTED, start(encoding), *media(sound, ("inbound", "outbound")), STOP]
    parsed = parse_all(Telnyx(), messages)
    found = start_of(parsed)
    assert (found.stream_id, found.options.media.encoding) == (STREAM, name)
    assert found.call_id.startswith("v2:")
    assert found.options.interval_s == 1.0
    assert sound_of(parsed, "inbound") == sound_of(parsed, "outbound") == sound
    assert stops(parsed) == 1


@pytest.mark.parametrize("encoding", ["L16", "OPUS", "G722", "AMR-WB", "pcmu"])
def test_other_encodings_are_refused_with_the_remedy(encoding):
    with pytest.raises(RequestError, match="PCMU or PCMA"):
        parse_all(Telnyx(), [start(encoding)])


def test_packets_out_of_order_are_sorted():
    sound = codes(MULAW, 1.0)
    shuffled = media(sound)
    for at in range(0, len(shuffled), 5):
        part = shuffled[at : at + 5]
        random.Random(at).shuffle(part)
        shuffled[at : at + 5] = part
    parsed = parse_all(Telnyx(), [start("PCMU"), *shuffled, STOP])
    assert sound_of(parsed) == sound


def test_a_lost_packet_does_not_hold_back_the_others():
    sound = codes(MULAW, 1.0)
    given = media(sound)
    without = [given[0], *given[2:]]
    parsed = parse_all(Telnyx(), [start("PCMU"), *without])
    assert sound_of(parsed) == sound[:160] + sound[320:]
    late = parse_all(Telnyx(), [start("PCMU"), *without, given[1], given[5]])
    assert sound_of(late) == sound[:160] + sound[320:], "late and repeated packets are left out"
    few = parse_all(Telnyx(), [start("PCMU"), *without[:4], STOP])
    assert sound_of(few) == sound[:160] + sound[320 : 5 * 160]


@pytest.mark.parametrize("chunk", ["", "x", "-1", "9" * 20])
def test_a_chunk_is_a_number(chunk):
    [message] = media(b"\xff" * 160)
    message["media"]["chunk"] = chunk
    with pytest.raises(RequestError):
        Telnyx().parse(json.dumps(message))


def test_events_without_sound_are_ignored():
    for event in ("dtmf", "mark", "error"):
        assert list(Telnyx().parse(json.dumps({"event": event}))) == []
    with pytest.raises(RequestError):
        Telnyx().parse('{"event": "sing"}')
