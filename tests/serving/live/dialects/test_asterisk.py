"""chan_websocket: https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/."""

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.asterisk import Asterisk
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import MULAW, codes, packets, parse_all, sound_of, start_of

PLAIN = (
    "MEDIA_START connection_id:media_connection1 channel:WebSocket/media_connection1/0x5140001a0040"
    " channel_id:1761245643.1 format:{} optimal_frame_size:160 ptime:20"
)


def as_json(form):
    return {
        "event": "MEDIA_START",
        "connection_id": "media_connection1",
        "channel": "WebSocket/media_connection1/0x5140001a0040",
        "channel_id": "1761245643.1",
        "format": form,
        "optimal_frame_size": 160,
        "ptime": 20,
        "channel_variables": {"MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": "160", "EMO_task": "audio"},
    }


@pytest.mark.parametrize("begin", [PLAIN.format, as_json])
@pytest.mark.parametrize(
    ("form", "media"),
    [
        ("ulaw", MediaFormat("mulaw", 8000)),
        ("alaw", MediaFormat("alaw", 8000)),
        ("slin", MediaFormat("pcm_s16le", 8000)),
        ("slin16", MediaFormat("pcm_s16le", 16_000)),
        ("slin44", MediaFormat("pcm_s16le", 44_100)),
    ],
)
def test_a_call(begin, form, media):
    sound = codes(MULAW, 0.5)
    parsed = parse_all(Asterisk(), [begin(form), *packets(sound, 160), "MEDIA_XON"])
    start = start_of(parsed)
    assert (start.stream_id, start.call_id) == ("1761245643.1", "media_connection1")
    assert start.options.media == media
    assert start.options.task == (None if begin == PLAIN.format else "audio")
    assert sound_of(parsed) == sound


@pytest.mark.parametrize(
    "message", ["", "SING", PLAIN.format("opus"), {"event": "MEDIA_START"}, {"event": []}]
)
def test_an_unknown_message_or_format_is_refused(message):
    with pytest.raises(RequestError):
        parse_all(Asterisk(), [message])
