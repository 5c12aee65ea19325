"""AudioHook: https://developer.genesys.cloud/devapps/audiohook/protocol-reference."""

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.audiohook import AudioHook
from emo_serving.live.messages import Reply, Start, Stop
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import MULAW, codes, packets, parse_all, replies, sound_of, start_of

SESSION = "e160e428-53e2-487c-977d-96989bf5c99d"
SOUND = codes(MULAW, 0.6)


def message(kind, seq, **parameters):
    return {
        "version": "2",
        "id": SESSION,
        "type": kind,
        "seq": seq,
        "serverseq": 0,
        "position": "PT0S",
        "parameters": parameters,
    }


def offer(*channels, form="PCMU"):
    return {"type": "audio", "format": form, "channels": list(channels), "rate": 8000}


def opening(*media):
    return message(
        "open",
        1,
        organizationId="d7934305-0972-4844-938e-9060eef73d05",
        conversationId="090eaa2f-72fa-480a-83e0-8667ff89c0ec",
        participant={"id": "883efee8", "ani": "+1", "aniName": "John", "dnis": "+2"},
        media=list(media),
        language="es-ES",
    )


def test_a_session_with_one_channel():
    parsed = parse_all(
        AudioHook(),
        [
            opening(offer("external", "internal"), offer("external")),
            *packets(SOUND, 1600),
            message("ping", 2, rtt="PT0.1S"),
            message("paused", 3),
            message("close", 4, reason="end"),
        ],
    )
    start = start_of(parsed)
    assert start.stream_id == SESSION
    assert start.call_id == "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
    assert start.options.media == MediaFormat("mulaw", 8000)
    assert sound_of(parsed) == SOUND
    opened, pong, closed = replies(parsed)
    assert opened["type"] == "opened"
    assert (opened["seq"], opened["clientseq"], opened["id"]) == (1, 1, SESSION)
    assert opened["parameters"]["startPaused"] is False
    [chosen] = opened["parameters"]["media"]
    assert chosen.channels == ["external"]
    assert (pong["type"], pong["seq"], pong["clientseq"]) == ("pong", 2, 2)
    assert (closed["type"], closed["seq"], closed["clientseq"]) == ("closed", 3, 4)
    kinds = [type(each) for each in parsed if not sound_of([each])]
    assert kinds == [Start, Reply, Reply, Stop, Reply], "closed follows the final answer"


@pytest.mark.parametrize("channels", [("external", "internal"), ("internal", "external")])
def test_of_two_channels_the_customers_is_recognized(channels):
    other = codes(MULAW, 0.6)[::-1]
    first, second = (SOUND, other) if channels[0] == "external" else (other, SOUND)
    interleaved = bytes(code for pair in zip(first, second, strict=True) for code in pair)
    parsed = parse_all(AudioHook(), [opening(offer(*channels)), *packets(interleaved, 3200)])
    assert sound_of(parsed) == SOUND


def test_a_connection_probe_opens_no_utterance():
    parsed = parse_all(AudioHook(), [opening(), message("close", 2, reason="end")])
    assert [reply["type"] for reply in replies(parsed)] == ["opened", "closed"]
    assert not any(isinstance(each, Start) for each in parsed)


@pytest.mark.parametrize(
    "given",
    [
        opening(offer("external", form="L16")),
        opening(offer("internal")),
        message("sing", 1),
        message("open", 1) | {"version": "3"},
        {"type": "open"},
    ],
)
def test_an_unknown_message_or_format_is_refused(given):
    with pytest.raises(RequestError):
        parse_all(AudioHook(), [given])
