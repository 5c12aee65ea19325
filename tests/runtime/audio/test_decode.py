"""Supported forms of sound, and errors for unsupported ones."""

import array
import base64
import io
import os
import re

import numpy as np
import pytest
import soundfile
import soxr

from emo_runtime import AudioError
from emo_runtime.audio.decode import Sound, decode, load_audio, resample
from helpers.sounds import as_file, speechlike

RATE = 16_000
SAMPLES = speechlike(0.5, RATE)
PCM = np.round(SAMPLES * 32767).astype(np.int16)


def test_path_bytes_file_object_and_array_are_the_same(tmp_path):
    data = as_file(PCM, RATE)
    (tmp_path / "a.wav").write_bytes(data)
    expected = PCM.astype(np.float32) / 32768
    with open(tmp_path / "a.wav", "rb") as file:
        sources = [tmp_path / "a.wav", str(tmp_path / "a.wav"), data, bytearray(data), file]
        sources += [memoryview(data), io.BytesIO(data), (PCM, RATE), (expected, np.int64(RATE))]
        for source in sources:
            sound = decode(source)
            assert (sound.sample_rate, sound.notes) == (RATE, ())
            assert sound.samples.dtype == np.float32
            np.testing.assert_array_equal(sound.samples, expected)
            assert sound.duration_s == 0.5


@pytest.mark.parametrize(
    ("samples", "full_scale"),
    [
        (PCM, 32768),
        (PCM.astype(">i2"), 32768),
        (PCM.astype(np.int32) << 16, 2**31),
        (PCM[::2], 32768),
        (PCM.astype(np.float64) / 32768, 1),
        (PCM.astype(np.float16) / np.float16(32768), 1),
        (PCM.tolist(), None),
    ],
    ids=["int16", "big endian", "int32", "not contiguous", "float64", "float16", "list"],
)
def test_array_types(samples, full_scale):
    if full_scale is None:  # a list makes int64, whose full scale nobody knows
        with pytest.raises(AudioError, match="full scale is not known"):
            decode((samples, RATE))
        return
    expected = np.asarray(samples).astype(np.float64) / full_scale
    np.testing.assert_allclose(decode((samples, RATE)).samples, expected, atol=1e-7)


def test_unsigned_bytes_are_centred_at_128():
    samples = np.arange(256).astype(np.uint8)
    np.testing.assert_array_equal(decode((samples, RATE)).samples, (np.arange(256) - 128) / 128)


def test_a_list_of_floats():
    np.testing.assert_array_equal(decode(([0.0, 0.5, -0.5], RATE)).samples, [0, 0.5, -0.5])


def test_the_order_of_scipy_and_other_containers_of_samples():
    expected = decode((PCM, RATE)).samples
    for source in (
        (RATE, PCM),
        (np.int64(RATE), PCM),
        [PCM, RATE],
        (memoryview(PCM), RATE),
        (array.array("h", PCM.tolist()), RATE),
        (array.array("f", expected.tolist()), RATE),
        (RATE, expected.tolist()),
    ):
        np.testing.assert_array_equal(decode(source).samples, expected)


def test_loud_floats_are_no_16_bit_samples():
    """Filters overshoot; a whole number of times full scale by chance is no 16-bit sound."""
    for gain in (2.0, 4.0, 9.5):
        assert decode((SAMPLES * np.float32(gain), RATE)).notes == ()
    assert decode((np.zeros(RATE, np.int32), RATE)).duration_s == 1


def test_channels_are_averaged_whichever_axis_they_are_on():
    pair = np.stack([SAMPLES, 0.3 * SAMPLES])
    expected = pair.mean(axis=0)
    np.testing.assert_allclose(decode((pair, RATE)).samples, expected, atol=1e-7)
    np.testing.assert_allclose(decode((pair.T, RATE)).samples, expected, atol=1e-7)


def test_a_read_only_array_is_left_alone():
    samples = SAMPLES.copy()
    samples.flags.writeable = False
    load_audio((samples, RATE), 8_000)
    np.testing.assert_array_equal(samples, SAMPLES)


@pytest.mark.parametrize("length", [1, 2, 3, 159, 160, 161, 44_101])
@pytest.mark.parametrize("rate", [8_000, 44_100, 11_025])
def test_resampled_length_is_rounded_up(length, rate):
    samples = np.ones(length, np.float32)
    found = resample(Sound(samples, rate), 22_050)
    assert len(found) == -(-length * 22_050 // rate)
    raw = soxr.resample(samples, rate, 22_050, quality="HQ")
    np.testing.assert_array_equal(found[: len(raw)], raw[: len(found)])


def test_equal_rates_need_no_resampling():
    assert resample(Sound(SAMPLES, RATE), RATE) is SAMPLES


OPPOSITE = np.tile(np.array([np.inf, -np.inf], np.float32), (9, 1))
LARGEST = np.full((9, 2), 3e38, np.float32)

ARRAY_ERRORS = {
    "bytearray": ((bytearray(PCM.tobytes()), RATE), "their type is not known"),
    "bytes": ((PCM.tobytes(), RATE), "np.frombuffer"),
    "memoryview of bytes": ((memoryview(PCM.tobytes()), RATE), "their type is not known"),
    "16-bit values in int32": ((PCM.astype(np.int32), RATE), "astype(np.int16)"),
    "quiet 16-bit values in floats": ((PCM // np.int16(300) * 1.0, RATE), "Divide 16-bit samples"),
    "16-bit integers in a list": ((PCM.tolist(), RATE), "full scale is not known"),
    "list of samples": ([0.0, 0.1, 0.2], "must be a pair"),
    "two rates": ((RATE, RATE), "give [time]"),
    "no samples": ((np.zeros(0, np.float32), RATE), "has no samples"),
    "NaN": ((np.array([0, np.nan], np.float32), RATE), "NaN or infinite"),
    "infinite": ((np.array([0, -np.inf], np.float32), RATE), "NaN or infinite"),
    "beyond float32": ((np.array([0, 1e300]), RATE), "NaN or infinite"),
    "channels of infinite difference": ((OPPOSITE, RATE), "NaN or infinite"),
    "channels beyond float32 together": ((LARGEST, RATE), "NaN or infinite"),
    "not divided": ((PCM.astype(np.float32), RATE), "Divide 16-bit samples by 32768"),
    "rate 0": ((SAMPLES, 0), "sample rate of 0 Hz"),
    "negative rate": ((SAMPLES, -8000), "sample rate of -8000 Hz"),
    "huge rate": ((SAMPLES, 2**31), "sample rate of 2147483648 Hz"),
    "fraction of a Hz": ((SAMPLES, 8000.5), "not a whole number"),
    "rate is a word": ((SAMPLES, "8000"), "not a whole number"),
    "rate is true": ((SAMPLES, True), "not a whole number"),
    "rate is NaN": ((SAMPLES, float("nan")), "not a whole number"),
    "rate is infinite": ((SAMPLES, float("inf")), "not a whole number"),
    "three axes": ((np.zeros((2, 3, 4), np.float32), RATE), "give [time]"),
    "no axis": ((np.float32(1), RATE), "give [time]"),
    "no channels": ((np.zeros((0, 5), np.float32), RATE), "0 channels"),
    "255 channels": ((np.zeros((255, 300), np.float32), RATE), "255 channels"),
    "ragged": (([[0.0, 1.0], [0.0]], RATE), "can't be converted to an array"),
    "complex": ((np.zeros(5, np.complex64), RATE), "full scale is not known"),
    "int64": ((np.zeros(5, np.int64), RATE), "full scale is not known"),
    "words": ((np.array(["a", "b"]), RATE), "full scale is not known"),
    "objects": ((np.array([None, 1.0]), RATE), "full scale is not known"),
    "three in a tuple": ((SAMPLES, RATE, 1), "pair"),
    "bare array": (SAMPLES, "audio of type ndarray"),
    "number": (5, "audio of type int"),
}


@pytest.mark.parametrize("name", ARRAY_ERRORS)
def test_arrays_that_are_refused(name):
    source, message = ARRAY_ERRORS[name]
    with pytest.raises(AudioError, match=re.escape(message)):
        decode(source)


FILE_ERRORS = {
    "empty": (b"", "is empty (0 bytes)"),
    "text": (b"Esto no es un sonido, es un texto.\n" * 20, "not a supported sound file"),
    "zip": (b"PK\x03\x04" + bytes(100), "not a supported sound file"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a supported sound file"),
    "one byte": (b"R", "not a supported sound file"),
    "no samples": (as_file(np.zeros(0, np.float32), RATE), "has no samples"),
    "NaN": (as_file(np.full(99, np.nan, np.float32), RATE, subtype="FLOAT"), "NaN or infinite"),
    "opposite": (as_file(OPPOSITE, RATE, subtype="FLOAT"), "NaN or infinite"),
    "1 kHz": (as_file(SAMPLES, 1_000), "sample rate of 1000 Hz"),
    "500 kHz": (as_file(SAMPLES, 500_000), "sample rate of 500000 Hz"),
    "33 channels": (as_file(np.zeros((9, 33), np.float32), RATE), "33 channels"),
}


@pytest.mark.parametrize("name", FILE_ERRORS)
def test_files_that_are_refused(name, tmp_path):
    data, message = FILE_ERRORS[name]
    path = tmp_path / "queja.wav"
    path.write_bytes(data)
    for source in (data, path, io.BytesIO(data)):
        with pytest.raises(AudioError, match=re.escape(message)) as caught:
            decode(source)
        assert "\n" not in str(caught.value)
    if "has no samples" not in message and "NaN" not in message:
        with pytest.raises(AudioError, match=re.escape(str(path))):
            decode(path)


def test_paths_that_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path, message in [
        (tmp_path / "missing.wav", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe.wav", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("a\0b.wav", "null"),
        ("x." * 2500, "too long"),
    ]:
        with pytest.raises(AudioError, match=message):
            decode(path)


SECRET = base64.b64encode(as_file(PCM, RATE)).decode()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SECRET, "looks like base64"),
        ("data:audio/wav;base64," + SECRET, "looks like base64"),
        ("https://example.org/voz.wav?token=secret", "given as a URL"),
        ("s3://bucket/voz.wav", "given as a URL"),
        (SECRET.encode(), "base64 text"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b'{"error": "not found"}', "JSON text"),
        (b"RIFF\x10\0\0\0AVI LIST", "AVI"),
        (b"MThd\0\0\0\6", "MIDI"),
    ],
)
def test_other_formats_are_named_and_their_content_is_not_quoted(source, message):
    with pytest.raises(AudioError, match=message) as caught:
        decode(source)
    assert len(str(caught.value)) <= 500
    assert SECRET[:40] not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_long_paths_are_shortened():
    with pytest.raises(AudioError) as caught:
        decode("carpeta con espacios/" * 40 + "voz.wav")
    assert len(str(caught.value)) < 300
    assert "voz.wav" in str(caught.value)


def test_an_asynchronous_file():
    class Upload:
        async def read(self, size=-1):
            return b""

        async def seek(self, position):
            pass

    with pytest.raises(AudioError, match=r"await upload\.read\(\)"):
        decode(Upload())


def test_a_file_object_that_fails():
    class Broken(io.BytesIO):
        def read(self, *arguments):
            raise OSError("the disk is gone")

    with pytest.raises(AudioError, match="the disk is gone"):
        decode(Broken(b"RIFF"))


def test_too_long_is_refused_before_all_is_read(tmp_path):
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1) as file:
        for _ in range(20):
            file.write(np.zeros(80_000, np.int16))
    assert decode(path).duration_s == decode(path, max_duration_s=np.inf).duration_s == 200
    with pytest.raises(AudioError, match="longer than 60 s"):
        decode(path, max_duration_s=60)
    with pytest.raises(AudioError, match=r"longer than 0\.25 s"):
        decode((SAMPLES, RATE), max_duration_s=0.25)
    with pytest.raises(AudioError, match="longer than 600 s"):
        decode((np.zeros(8_000 * 601, np.float32), 8_000))
