"""The front end ``log_mel`` against WhisperFeatureExtractor."""

import numpy as np
import pytest

from emo_runtime.audio.log_mel import LogMel
from emo_runtime.bundle.front_ends import Level, LogMelSettings
from helpers.reference_features import whisper, whisper_numpy
from helpers.sounds import speechlike

RATE = 16_000
FRONT_ENDS = {n_mels: LogMel(LogMelSettings(n_mels=n_mels)) for n_mels in (80, 128)}
PADDED = LogMel(LogMelSettings(pad_s=30.0, max_s=30.0))


def features(samples, n_mels=80):
    [part] = FRONT_ENDS[n_mels].whole(samples).parts
    assert part.dtype == np.float32
    assert part.flags.c_contiguous
    return part


def assert_close(found, wanted, tolerance=1e-4):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("duration", [0.1, 1.0, 5.0, 29.9])
def test_speechlike_sound(n_mels, duration):
    samples = speechlike(duration, RATE, seed=round(10 * duration))
    found = features(samples, n_mels)
    assert_close(found, whisper(samples, n_mels))
    assert_close(found, whisper_numpy(samples, n_mels), 1e-6)


# Around half a window, a window, hop and block boundaries.
@pytest.mark.parametrize("length", [201, 319, 320, 321, 399, 400, 401, 5119, 5120, 5121, 5400])
def test_lengths(length):
    samples = speechlike(1.0, RATE)[:length]
    found = features(samples)
    assert found.shape[2] == length // 160
    assert_close(found, whisper(samples))


@pytest.mark.parametrize("length", [1, 2, 159, 160, 200])
def test_shorter_than_the_extractor_accepts(length):
    samples = speechlike(1.0, RATE)[:length]
    assert_close(features(samples), whisper(np.pad(samples, (0, 201 - length))))


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("silence", np.zeros(RATE)),
        ("constant", np.full(RATE, 0.5)),
        ("full scale", np.sign(np.sin(np.arange(RATE) * 0.1))),
        ("denormal", np.full(RATE, 1e-40)),
        ("one click", np.eye(1, RATE, 5000)[0]),
        ("silence, then noise", np.r_[np.zeros(RATE), np.random.default_rng(0).normal(size=999)]),
        ("a tone over 120 dB", np.sin(np.arange(RATE) * 0.3) * np.logspace(-6, 0, RATE)),
    ],
)
def test_unusual_sounds(name, samples):
    samples = samples.astype(np.float32)
    assert_close(features(samples), whisper_numpy(samples), 1e-6)


@pytest.mark.parametrize("length", [1, 160, 5120, 80_000, 479_000, 479_999, 480_000, 480_001])
def test_padded_to_30_s(length):
    samples = speechlike(length / RATE, RATE)
    result = PADDED.whole(samples)
    [part] = result.parts
    assert_close(part, whisper(samples, padding="max_length"))
    assert result.truncated == (length > 480_000)
    assert result.lengths == (max(1, min(length, 480_000) // 160),)


def test_windows_of_padded_sound_have_30_s_each():
    front_end = LogMel(LogMelSettings(pad_s=30.0, max_s=30.0, beyond_max="windows"))
    samples = speechlike(70.0, RATE)
    result = front_end.whole(samples)
    assert [part.shape for part in result.parts] == [(1, 80, 3000)] * 3
    assert sum(result.lengths) == 7000
    assert not result.truncated
    unpadded = features(samples)
    start = 0
    for part, length in zip(result.parts, result.lengths, strict=True):
        # The last two frames of the sound meet silence here, and its mirror image there.
        clear = length - 2 if start + length == 7000 else length
        assert_close(part[:, :, :clear], unpadded[:, :, start : start + clear], 0)
        start += length
    assert_close(result.parts[0][:, :, 2400:], np.full((1, 80, 600), unpadded.min()), 0)


def test_a_maximum_below_the_padding_is_one_window():
    front_end = LogMel(LogMelSettings(pad_s=30.0, max_s=20.0, beyond_max="windows"))
    assert [part.shape[2] for part in front_end.whole(speechlike(20.0, RATE)).parts] == [3000]
    assert front_end.whole(speechlike(20.1, RATE)).lengths == (1005, 1005)


def test_truncated_sound_is_the_beginning_of_the_sound():
    samples = speechlike(3.0, RATE)
    result = LogMel(LogMelSettings(max_s=2.0)).whole(samples)
    assert result.truncated
    np.testing.assert_array_equal(result.parts[0], features(samples[: 2 * RATE]))


@pytest.mark.parametrize("amplitude", [1e-5, 1e-3, 1.0])
def test_level_equals_a_gain_on_the_samples(amplitude):
    samples = np.concatenate([np.zeros(3000, np.float32), speechlike(2.0, RATE)])
    samples *= np.float32(amplitude)
    level = Level(target_dbfs=-26.0, max_gain_db=60.0)
    [found] = LogMel(LogMelSettings(level=level)).whole(samples).parts
    rms = np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    gain = min(10 ** (-26 / 20) / rms, 1000.0)
    wanted = whisper_numpy((samples.astype(np.float64) * gain).astype(np.float32))
    assert_close(found, wanted, 1e-5)


def test_other_settings():
    import librosa

    settings = LogMelSettings(
        sample_rate=22_050, n_fft=512, hop_length=200, n_mels=64, fmin=50.0, fmax=10_000.0
    )
    samples = speechlike(1.3, 22_050)
    [found] = LogMel(settings).whole(samples).parts
    mel = librosa.feature.melspectrogram(
        y=samples.astype(np.float64),
        sr=22_050,
        n_fft=512,
        hop_length=200,
        n_mels=64,
        fmin=50.0,
        fmax=10_000.0,
        pad_mode="reflect",
    )
    log = np.log10(np.maximum(1e-10, mel))[np.newaxis, :, :-1]
    assert_close(found, (np.maximum(log, log.max() - 8) + 4) / 4, 1e-5)
