"""MP3: frames are found by their headers, whatever is before, between and after them."""

import io

import numpy as np
import pytest

from emo_runtime.audio.decode import decode
from emo_runtime.audio.mpeg import frame_bytes, read_mp3
from emo_runtime.audio.recording import open_recording
from emo_runtime.audio.segments import Span
from helpers.sounds import as_file, speechlike

RATE = 16_000
VOICE = speechlike(3, RATE)
DATA = as_file(VOICE, RATE, "MP3")
WHOLE = decode(DATA).samples
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16)


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("fffb90", 417),  # MPEG 1 layer III, 128 kbit/s, 44.1 kHz: 144 * 128000 / 44100
        ("fffb92", 418),  # the same with padding
        ("fff340", 144),  # MPEG 2, 32 kbit/s, 22.05 kHz: 72 * 32000 / 22050 = 104.49; see below
        ("ffff90", 0),  # layer I of 9: 288 kbit/s, but not a frame of the others
        ("fff0f0", 0),
        ("fffbf0", 0),
        ("fffb9c", 0),
        ("000000", 0),
    ],
)
def test_frame_lengths(header, length):
    if header == "fff340":
        length = 72 * 32_000 // 22_050
    if header == "ffff90":
        length = (12 * 288_000 // 44_100) * 4
    assert frame_bytes(int(header, 16)) == length


@pytest.mark.parametrize(
    "junk", [bytes(5000), b"HTTP/1.1 200 OK\r\n\r\n", b"\xff" * 700, DATA[700:760]]
)
def test_junk_in_front_is_skipped(junk):
    sound = decode(junk + DATA)
    np.testing.assert_array_equal(sound.samples, WHOLE)
    assert sound.notes == ()


@pytest.mark.parametrize(
    "tail", [ID3V1, APE + ID3V1, bytes(4000), b"LYRICSBEGIN...LYRICS200" + ID3V1]
)
def test_tags_and_zeros_behind_are_ignored(tail):
    sound = decode(DATA + tail)
    np.testing.assert_array_equal(sound.samples, WHOLE)
    assert sound.notes == ()


def test_tags_between_joined_files():
    tag = b"ID3\x04\0\0\0\0\x02\0" + bytes(256)
    sound = decode(tag + DATA + ID3V1 + tag + DATA + ID3V1)
    np.testing.assert_allclose(sound.samples, np.tile(WHOLE, 2), atol=1e-6)
    assert sound.notes == ()


@pytest.mark.parametrize("lost", [1, 100, 3000])
def test_frames_after_a_loss_are_used(lost):
    data = DATA[:4000] + DATA[4000 + lost :]
    sound = decode(data)
    assert [note.code for note in sound.notes] == ["damaged"]
    missing = len(WHOLE) - len(sound.samples)
    assert 0 <= missing <= (lost / len(DATA) + 0.1) * len(WHOLE)
    np.testing.assert_allclose(sound.samples[-8000:-1000], WHOLE[-8000:-1000], atol=1e-3)


@pytest.mark.parametrize("data", [b"", bytes(9000), b"\xff" * 9000, b"\xff\xfb\x90\x00" * 900])
def test_what_has_no_frames(data):
    assert read_mp3(io.BytesIO(data), Span(0, len(data))) == ()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_variable_bit_rate_without_a_header_is_read_to_its_end(rate, channels):
    """The bit rate of the first frame says nothing about the length; loud frames are larger."""
    loud = speechlike(3, rate) * np.linspace(0, 1, 3 * rate, dtype=np.float32)
    data = as_file(loud if channels == 1 else np.stack([loud, 0.5 * loud], 1), rate, "MP3")
    [part] = read_mp3(io.BytesIO(data), Span(0, len(data)))
    bare = b"".join(data[span.start : span.end] for span in part.segments if isinstance(span, Span))
    frame = 1152 if rate >= 32_000 else 576
    [found] = read_mp3(io.BytesIO(bare), Span(0, len(bare)))
    assert found.notes == ()
    sound = decode(bare)
    assert sound.duration_s == pytest.approx(decode(data).duration_s, abs=4 * frame / rate)
    with open_recording(bare) as recording:
        assert recording.duration_s == pytest.approx(sound.duration_s, abs=1e-3)
        tail = recording.slice(2.5, 2.9)
        np.testing.assert_allclose(
            tail.samples, sound.samples[round(2.5 * rate) : round(2.9 * rate)], atol=1e-3
        )
