"""The front end ``waveform`` against Wav2Vec2FeatureExtractor."""

import numpy as np
import pytest

from emo_runtime.audio.waveform import Waveform
from emo_runtime.bundle.front_ends import Level, WaveformSettings
from helpers.reference_features import wav2vec2
from helpers.sounds import speechlike

RATE = 16_000
NORMALIZED = Waveform(WaveformSettings())
PLAIN = Waveform(WaveformSettings(normalize=False))


def features(samples, front_end=NORMALIZED):
    [part] = front_end.whole(samples).parts
    assert part.dtype == np.float32
    assert part.flags.c_contiguous
    return part


def assert_close(found, wanted, tolerance=1e-4):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("duration", [0.1, 1.0, 5.0, 60.0])
def test_speechlike_sound(duration):
    samples = speechlike(duration, RATE, seed=round(10 * duration)) + np.float32(0.05)
    assert_close(features(samples), wav2vec2(samples), 1e-5)
    np.testing.assert_array_equal(features(samples, PLAIN), wav2vec2(samples, normalize=False))


@pytest.mark.parametrize("length", [1, 2, 399, 400, 401])
def test_short_sound_is_padded_after_the_normalization(length):
    samples = speechlike(1.0, RATE)[:length]
    wanted = wav2vec2(samples, padding="max_length", max_length=400)
    assert_close(features(samples), wanted, 1e-5)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("silence", np.zeros(RATE)),
        ("constant", np.full(RATE, 0.5)),
        ("full scale", np.sign(np.sin(np.arange(RATE) * 0.1))),
        ("denormal", np.full(RATE, 1e-40)),
        ("one click", np.eye(1, RATE, 5000)[0]),
        ("faint", 1e-5 * np.sin(np.arange(RATE))),
    ],
)
def test_unusual_sounds(name, samples):
    samples = samples.astype(np.float32)
    assert_close(features(samples), wav2vec2(samples), 1e-4)


def test_truncation_before_the_normalization():
    samples = speechlike(3.0, RATE) * np.linspace(0, 1, 3 * RATE, dtype=np.float32)
    result = Waveform(WaveformSettings(max_s=2.0)).whole(samples)
    assert result.truncated
    assert_close(result.parts[0], wav2vec2(samples, max_length=2 * RATE, truncation=True), 1e-5)


def test_windows_are_the_whole_divided():
    samples = speechlike(5.0, RATE)
    result = Waveform(WaveformSettings(max_s=2.0, beyond_max="windows")).whole(samples)
    assert result.lengths == (26_666, 26_667, 26_667)
    np.testing.assert_array_equal(np.concatenate(result.parts, axis=1), features(samples))


@pytest.mark.parametrize("amplitude", [1e-5, 1e-3, 1.0])
def test_level(amplitude):
    samples = speechlike(2.0, RATE) * np.float32(amplitude)
    level = Level(target_dbfs=-26.0, max_gain_db=60.0)
    found = features(samples, Waveform(WaveformSettings(normalize=False, level=level)))
    rms = np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    gain = min(10 ** (-26 / 20) / rms, 1000.0)
    assert_close(found, (samples * gain)[np.newaxis].astype(np.float32), 1e-6)
