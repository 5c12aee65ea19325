"""The first packets of a stream: files and text are refused, a wrong byte order is noted."""

import base64
import json

import numpy as np
import pytest

from emo_runtime import AudioError
from emo_runtime.audio.encodings import PacketDecoder
from emo_runtime.audio.first_packets import FirstPackets
from helpers.sounds import as_file, speechlike

RATE = 16_000
VOICE = np.round(speechlike(3, RATE) * 32767).astype("<i2")

FILES = {
    "WAV": as_file(VOICE, RATE),
    "Ogg": as_file(VOICE, RATE, "OGG"),
    "FLAC": as_file(VOICE, RATE, "FLAC"),
    "MP3": as_file(VOICE, RATE, "MP3"),
    "WebM": bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381") + bytes(100),
    "M4A": b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(100),
    "base64": base64.b64encode(VOICE.tobytes()),
    "text": json.dumps({"event": "media", "media": {"payload": "AAAA" * 50}}).encode(),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packet_bytes", [160, 320, 4000])
def test_other_data_than_sound_is_refused(name, packet_bytes):
    data = FILES[name]
    first = FirstPackets("pcm_s16le")

    def feed_all():
        for start in range(0, len(data), packet_bytes):
            first.check(data[start : start + packet_bytes])

    with pytest.raises(AudioError, match=name):
        feed_all()


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_s16be", "pcm_f32le", "mulaw", "alaw"])
@pytest.mark.parametrize("kind", ["zeros", "ones", "0x55", "0xD5", "0x7F", "noise"])
def test_silence_and_noise_are_samples(encoding, kind):
    fill = {"zeros": b"\0", "ones": b"\xff", "0x55": b"U", "0xD5": b"\xd5", "0x7F": b"\x7f"}
    noise = np.random.default_rng(0).bytes(100_000)
    data = noise if kind == "noise" else fill[kind] * 100_000
    first = FirstPackets(encoding)
    for start in range(0, len(data), 320):
        first.check(data[start : start + 320])
    assert not first.notes


@pytest.mark.parametrize("packet_samples", [160, 320, 48_000])
def test_a_wrong_byte_order_is_noted(packet_samples):
    for encoding, order in (("pcm_s16le", ">i2"), ("pcm_s16be", "<i2")):
        right = {"pcm_s16le": "pcm_s16be", "pcm_s16be": "pcm_s16le"}[encoding]
        wrong, as_stated = PacketDecoder(encoding, 1), PacketDecoder(right, 1)
        data = VOICE.astype(order).tobytes()
        for start in range(0, len(data), 2 * packet_samples):
            wrong(data[start : start + 2 * packet_samples])
            as_stated(data[start : start + 2 * packet_samples])
        [note] = wrong.notes
        assert note.code == "byte_order"
        assert right in str(note)
        assert as_stated.notes == ()
