"""The front end ``mean_mfcc`` against MeanMfcc, which is compared with librosa."""

import numpy as np
import pytest

from emo_runtime.audio.mean_mfcc import MeanMfccFrontEnd
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.front_ends import Level, MeanMfccSettings
from helpers.reference_audio import mean_mfcc
from helpers.sounds import speechlike

RATE = 22_050
FRONT_END = MeanMfccFrontEnd(MeanMfccSettings())


@pytest.mark.parametrize("length", [1, 511, 512, 1024, 2048, 2049, 16_383, 16_384, 16_385, 110_250])
def test_bits_of_mean_mfcc(length):
    samples = speechlike(5.0, RATE)[:length]
    [vector] = FRONT_END.whole(samples).parts
    assert vector.shape == (1, 128)
    np.testing.assert_array_equal(vector[0], MeanMfcc(MeanMfccSettings())(samples))


@pytest.mark.parametrize("amplitude", [1e-5, 1e-3, 1.0])
def test_level_equals_a_gain_on_the_samples(amplitude):
    samples = np.concatenate([np.zeros(3000, np.float32), speechlike(2.0, RATE)])
    samples *= np.float32(amplitude)
    level = Level(target_dbfs=-26.0, max_gain_db=60.0)
    [found] = MeanMfccFrontEnd(MeanMfccSettings(level=level)).whole(samples).parts
    rms = np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    gain = min(10 ** (-26 / 20) / rms, 1000.0)
    wanted = mean_mfcc((samples.astype(np.float64) * gain).astype(np.float32), 128)
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-3)


def test_truncation():
    samples = speechlike(3.0, RATE)
    result = MeanMfccFrontEnd(MeanMfccSettings(max_s=2.0)).whole(samples)
    assert result.truncated
    np.testing.assert_array_equal(result.parts[0], FRONT_END.whole(samples[: 2 * RATE]).parts[0])


def test_windows_are_one_vector():
    samples = speechlike(3.0, RATE)
    windows = MeanMfccFrontEnd(MeanMfccSettings(max_s=2.0, beyond_max="windows")).whole(samples)
    [vector] = windows.parts
    np.testing.assert_array_equal(vector, FRONT_END.whole(samples).parts[0])
