"""AudioSocket: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/."""

import uuid

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects.audiosocket import AudioSocket
from emo_serving.live.options import MediaFormat
from helpers.platform_calls import packets, parse_all, pcm, sound_of, start_of

# The UUID of the documentation's example.
CALL = "40325ec2-5efd-4bd3-805f-53576e581d13"
IDENTITY = b"\x01" + uuid.UUID(CALL).bytes


@pytest.mark.parametrize(
    ("kind", "rate"), [(0x10, 8000), (0x11, 12_000), (0x12, 16_000), (0x15, 44_100), (0x16, 48_000)]
)
def test_a_call(kind, rate):
    sound = pcm(0.5, rate)
    frames = [bytes([kind]) + packet for packet in packets(sound, 320)]
    dialect = AudioSocket()
    parsed = [
        message
        for frame in [IDENTITY, *frames[:2], b"\x03" + b"7", b"\x02", *frames[2:]]
        for message in dialect.parse(frame)
    ]
    start = start_of(parsed)
    assert (start.call_id, start.stream_id) == (CALL, CALL)
    assert start.options.media == MediaFormat("pcm_s16le", rate)
    assert sound_of(parsed) == sound


@pytest.mark.parametrize(
    "frames",
    [
        [b"\x10ab"],
        [b"\x01short"],
        [IDENTITY, IDENTITY],
        [IDENTITY, b"\x10ab", b"\x12ab"],
        [IDENTITY, b"\x19ab"],
        [IDENTITY, b"\x05"],
        [b""],
        ["text"],
    ],
)
def test_other_messages_are_refused(frames):
    with pytest.raises(RequestError):
        parse_all(AudioSocket(), frames)
