"""WAV: only the format and the samples of a file count, whatever else it has."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime import AudioError
from emo_runtime.audio.decode import decode
from emo_runtime.audio.segments import Span
from emo_runtime.audio.wav import UnsupportedWavError, read_wav
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
LIST = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"emo\0"))
BIG_FMT = chunk(b"fmt ", struct.pack(">HHIIHH", 1, 1, 8_000, 16_000, 2, 16), order=">")
BIG_DATA = chunk(b"data", PCM.astype(">i2").tobytes(), order=">")
DS64 = struct.pack("<QQQI", 0, 2 * len(PCM), len(PCM), 0)
# libsndfile issue 1118: skipping 0xFFFFFFF8 bytes of an INFO entry goes 8 bytes back, to the
# header of the same entry (with libsndfile 1.2.2 soundfile.SoundFile never returns).
ENDLESS = b"INFO" + chunk(b"xxxx", b"x" * 40, size=0xFFFFFFF8) + bytes(45)

WHOLE = {
    "plain": wav(FMT, DATA),
    "size 0": wav(FMT, DATA, size=0),
    "size -1": wav(FMT, DATA, size=0xFFFFFFFF),
    "data of size -1": wav(FMT, chunk(b"data", PCM.tobytes(), size=0xFFFFFFFF), size=0xFFFFFFFF),
    "data of size 0": wav(FMT, chunk(b"data", PCM.tobytes(), size=0), size=0),
    "data of size 0 after a list": wav(LIST, FMT, chunk(b"data", PCM.tobytes(), size=0), size=36),
    "header counted": wav(FMT, chunk(b"data", PCM.tobytes(), size=2 * len(PCM) + 44)),
    "chunk headers counted": wav(FMT, chunk(b"data", PCM.tobytes(), size=2 * len(PCM) + 36)),
    "odd chunk": wav(FMT, chunk(b"odd ", b"abc"), DATA),
    "odd chunk without padding": wav(FMT, b"odd " + struct.pack("<I", 3) + b"abc", DATA),
    "odd list without padding": wav(FMT, LIST[:4] + struct.pack("<I", 15) + LIST[8:-1], DATA),
    "list": wav(FMT, LIST, DATA),
    "list first": wav(LIST, FMT, DATA),
    "list last": wav(FMT, DATA, LIST),
    "list last, cut": wav(FMT, DATA, LIST)[:-9],
    "list last, wrong size": wav(FMT, DATA, chunk(b"LIST", b"INFO", size=1 << 30)),
    "list of a wrong size": wav(FMT, chunk(b"LIST", b"INFO", size=1 << 30), DATA),
    "list entry of a wrong size": wav(
        FMT, chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"emo\0", size=0xFFFFFFF0)), DATA
    ),
    "endless list": wav(FMT, chunk(b"LIST", ENDLESS, size=len(ENDLESS)), DATA),
    "endless list last": wav(FMT, DATA, chunk(b"LIST", ENDLESS, size=len(ENDLESS))),
    "ID3v1": wav(FMT, DATA) + b"TAG" + b"title".ljust(125, b"\0"),
    "ID3 chunk": wav(FMT, DATA, chunk(b"id3 ", b"ID3\x03\0\0\0\0\0\0")),
    "zeros": wav(FMT, DATA) + bytes(3),
    "text": wav(FMT, DATA) + b"\r\nfin del archivo\r\n",
    "broadcast wave": wav(chunk(b"bext", bytes(602)), FMT, DATA, chunk(b"iXML", b"<x/>")),
    "big endian": wav(BIG_FMT, BIG_DATA, form=b"RIFX", order=">"),
    "RF64": wav(
        chunk(b"ds64", DS64), FMT, chunk(b"data", PCM.tobytes(), size=0xFFFFFFFF), form=b"RF64"
    ),
    "extensible": wav(
        chunk(
            b"fmt ",
            struct.pack("<H", 0xFFFE)
            + FORMAT[2:]
            + struct.pack("<HHIH", 22, 16, 4, 1)
            + bytes.fromhex("000000001000800000aa00389b71"),
        ),
        DATA,
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_samples_are_read_without_a_note(name):
    sound = decode(WHOLE[name])
    assert sound.notes == ()
    np.testing.assert_array_equal(sound.samples, PCM / np.float32(32768))


@pytest.mark.parametrize("odd_tail", [b"", b"\0", LIST, b"\0" + LIST])
def test_an_odd_number_of_bytes_with_and_without_padding(odd_tail):
    codes = bytes(range(251))
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 7, 1, 8_000, 8_000, 1, 8))
    data = b"data" + struct.pack("<I", len(codes)) + codes
    sound = decode(wav(form, data) + odd_tail)
    assert (len(sound.samples), sound.notes) == (251, ())


@pytest.mark.parametrize(
    "data",
    [
        wav(FMT, DATA) + wav(FMT, DATA),
        wav(FMT, DATA, LIST) + wav(FMT, DATA),
        wav(FMT, DATA, DATA),
        wav(FMT, DATA, chunk(b"JUNK", b""), DATA),
    ],
    ids=["joined", "joined after a list", "two chunks", "two chunks with junk"],
)
def test_a_second_recording_is_noted(data):
    sound = decode(data)
    assert [note.code for note in sound.notes] == ["trailing_data"]
    np.testing.assert_array_equal(sound.samples, PCM / np.float32(32768))


def test_missing_samples_are_noted():
    sound = decode(wav(FMT, DATA)[:-1000])
    assert [note.code for note in sound.notes] == ["cut_off"]
    np.testing.assert_array_equal(sound.samples, (PCM / np.float32(32768))[:-500])


@pytest.mark.parametrize(
    "data",
    [
        wav(chunk(b"fmt ", FORMAT, size=999_999), DATA),
        wav(chunk(b"fmt ", FORMAT, size=1 << 30, order=">"), form=b"RIFX", order=">"),
        wav(chunk(b"fmt ", FORMAT[:10]), DATA),
        wav(DATA),
        wav(FMT),
        wav(FMT, LIST),
        wav(*[chunk(b"junk", b"")] * 10_001),
    ],
    ids=["fmt", "big endian", "short fmt", "no fmt", "no data", "only a list", "too many"],
)
def test_files_without_format_or_samples_are_refused(data):
    with pytest.raises(AudioError, match="a damaged WAV file"):
        decode(data)


def test_a_file_without_samples_is_empty():
    for data in (wav(FMT, chunk(b"data", b"")), wav(FMT, chunk(b"data", b""), LIST)):
        with pytest.raises(AudioError, match="has no samples"):
            decode(data)


def test_a_header_beyond_four_gigabytes_is_rf64(tmp_path):
    """The samples of a sparse file of 5 GB start and end where they should."""
    path, length = tmp_path / "long.wav", 5 << 30
    sizes = struct.pack("<QQQI", length + 72, length, length // 2, 0)
    data = b"data" + struct.pack("<I", 0xFFFFFFFF)
    with path.open("wb") as file:
        head = wav(chunk(b"ds64", sizes), FMT, data, form=b"RF64", size=0xFFFFFFFF)
        file.write(head)
        file.truncate(len(head) + length)
    with path.open("rb") as file:
        part = read_wav(file, "long", Span(0, path.stat().st_size))
    header, span = part.segments
    assert span == Span(len(head), len(head) + length)
    assert header.startswith(b"RF64")
    assert sizes[8:16] in header


@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_subtypes_are_read_as_written(kind, container):
    if container == "RF64" and kind in {"ULAW", "ALAW"}:
        kind = "PCM_16"
    data = as_file(PCM.astype(np.float64) / 32768, 8_000, container, kind)
    tolerance = 0.05 if kind in {"ULAW", "ALAW", "PCM_U8"} else 1e-6
    np.testing.assert_allclose(decode(data).samples, PCM / 32768, atol=tolerance)


@pytest.mark.parametrize("kind", ["IMA_ADPCM", "MS_ADPCM", "GSM610", "NMS_ADPCM_32"])
def test_compressed_samples_are_read(kind):
    sound = decode(as_file(PCM, 8_000, "WAV", kind))
    assert len(PCM) <= len(sound.samples) < len(PCM) + 2048
    assert np.corrcoef(sound.samples[: len(PCM)], PCM)[0, 1] > 0.9


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"RIFF", b"RIFX", b"RF64"]))
def test_random_chunks_are_read_or_refused(tail, magic):
    data = magic + b"\0\0\0\0WAVE" + tail
    try:
        read_wav(io.BytesIO(data), "sound", Span(0, len(data)))
    except UnsupportedWavError:
        pass
    except AudioError as error:
        assert "damaged WAV" in str(error)  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_file_gives_sound_or_an_audio_error(data):
    whole = wav(FMT, LIST, DATA)
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
