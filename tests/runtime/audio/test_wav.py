"""WAV chunks with impossible sizes are refused before libsndfile sees them; odd ones are read."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime import AudioError
from emo_runtime.audio.decode import decode
from emo_runtime.audio.wav import check_wav
from helpers.sounds import as_file, speechlike

PCM = np.round(speechlike(0.2, 8_000) * 32767).astype("<i2")
FORMAT = struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)


def chunk(kind, body, size=None, order="<"):
    size = len(body) if size is None else size
    return kind + struct.pack(f"{order}I", size) + body + b"\0" * (len(body) % 2)


def wav(*chunks, form=b"RIFF", size=None, order="<"):
    body = b"WAVE" + b"".join(chunks)
    return form + struct.pack(f"{order}I", len(body) if size is None else size) + body


FMT, DATA = chunk(b"fmt ", FORMAT), chunk(b"data", PCM.tobytes())


@pytest.mark.parametrize(
    "data",
    [
        wav(FMT, DATA),
        wav(FMT, DATA, size=0),
        wav(FMT, DATA, size=0xFFFFFFFF),
        wav(FMT, chunk(b"data", PCM.tobytes(), size=0xFFFFFFFF), size=0xFFFFFFFF),
        wav(FMT, chunk(b"odd ", b"abc"), DATA),
        wav(FMT, chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"emo\0")), DATA),
        wav(FMT, DATA, chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"emo\0"))),
        wav(FMT, DATA) + b"\0\0\0",
    ],
    ids=["plain", "size 0", "size -1", "open end", "odd chunk", "INFO", "INFO last", "tail"],
)
def test_whole_files_are_read(data):
    np.testing.assert_array_equal(decode(data).samples, PCM / np.float32(32768))


@pytest.mark.parametrize(
    "data",
    [
        wav(chunk(b"fmt ", FORMAT, size=999_999), DATA),
        wav(FMT, chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"emo\0", size=0xFFFFFFF0)), DATA),
        wav(FMT, chunk(b"LIST", b"INFO", size=1 << 30), DATA),
        wav(FMT, chunk(b"junk", b"", size=0x7FFFFFFF), DATA, form=b"RF64"),
        wav(chunk(b"fmt ", FORMAT, size=1 << 30, order=">"), form=b"RIFX", order=">"),
        wav(*[chunk(b"junk", b"")] * 10_001),
    ],
    ids=["fmt", "INFO entry", "LIST", "RF64", "big endian", "too many"],
)
def test_impossible_chunks_are_refused(data):
    with pytest.raises(AudioError, match="a damaged WAV file"):
        decode(data)


def test_the_file_that_hangs_libsndfile_is_refused():
    # libsndfile's issue 1118: skipping 0xFFFFFFF8 bytes of an unknown INFO entry goes 8 back, to
    # the entry's own head (seen with libsndfile 1.2.2: soundfile.SoundFile never returns).
    info = b"INFO" + chunk(b"xxxx", b"x" * 40, size=0xFFFFFFF8) + bytes(45)
    data = wav(FMT, chunk(b"LIST", info, size=len(info)), chunk(b"data", bytes(8)))
    with pytest.raises(AudioError, match="xxxx"):
        decode(data)


@pytest.mark.parametrize("kind", ["FLAC", "OGG", "MP3", "AIFF"])
def test_other_formats_pass(kind):
    assert check_wav(io.BytesIO(as_file(PCM, 8_000, kind)), "sound") == ()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_end_in_an_audio_error_or_pass(tail, with_head):
    try:
        check_wav(io.BytesIO((b"RIFF\0\0\0\0WAVE" if with_head else b"") + tail), "sound")
    except AudioError as error:
        assert "damaged WAV" in str(error)  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_gives_sound_or_an_audio_error(data):
    whole = wav(FMT, chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"emo\0")), DATA)
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, min(79, len(damaged) - 1)))] = data.draw(
                st.integers(0, 255)
            )
    try:
        assert decode(bytes(damaged)).samples.ndim == 1
    except AudioError as error:
        assert str(error)  # noqa: PT017
