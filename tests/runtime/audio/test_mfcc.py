"""The front end against librosa and scipy."""

import librosa
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime.audio.mfcc import MeanMfcc, dct_matrix
from emo_runtime.bundle.front_ends import MeanMfccSettings
from helpers.reference_audio import mean_mfcc
from helpers.sounds import speechlike

RATE = 22_050


def contract(n_mfcc: int) -> MeanMfccSettings:
    return MeanMfccSettings(n_mfcc=n_mfcc, n_mels=max(128, n_mfcc))


FRONT_ENDS = {n_mfcc: MeanMfcc(contract(n_mfcc)) for n_mfcc in (13, 56, 128, 256)}


def assert_equals_librosa(samples, n_mfcc, tolerance=1e-3):
    found = FRONT_ENDS[n_mfcc](samples)
    assert found.shape == (n_mfcc,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mean_mfcc(samples, n_mfcc), rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_mfcc", [13, 56, 128, 256])
@pytest.mark.parametrize("duration", [0.1, 1.0, 5.0, 60.0])
def test_speechlike_sound(n_mfcc, duration):
    assert_equals_librosa(speechlike(duration, RATE, seed=round(duration * 10)), n_mfcc)


# One sample, around half a window, a window, hop and block boundaries.
@pytest.mark.parametrize(
    "length", [1, 2, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 16383, 16384, 16385]
)
@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large:UserWarning")  # librosa's own
def test_lengths_from_one_sample(length):
    assert_equals_librosa(speechlike(1.0, RATE)[:length], 128)


@pytest.mark.parametrize("n_mfcc", [56, 128, 256])
@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("silence", np.zeros(RATE)),
        ("constant", np.full(RATE, 0.5)),
        ("full scale", np.sign(np.sin(np.arange(RATE) * 0.1))),
        ("denormal", np.full(RATE, 1e-40)),
        ("one click", np.eye(1, RATE, 5000)[0]),
        ("silence, then noise", np.r_[np.zeros(RATE), np.random.default_rng(0).normal(size=999)]),
        ("a tone over 80 dB of range", np.sin(np.arange(RATE) * 0.3) * np.logspace(-6, 0, RATE)),
    ],
)
def test_unusual_sounds(n_mfcc, name, samples):
    assert_equals_librosa(samples.astype(np.float32), n_mfcc)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(2048, 40_000),
    level=st.floats(-6, 1),
)
def test_noise_of_any_length_and_level(seed, length, level):
    noise = np.random.default_rng(seed).normal(0, 10**level, length).astype(np.float32)
    assert_equals_librosa(noise, 128)


def test_frames_equal_librosas_before_the_clipping():
    samples = speechlike(3.0, RATE)
    front_end = FRONT_ENDS[128]
    power = librosa.feature.melspectrogram(y=samples, sr=RATE)
    expected = librosa.power_to_db(power, top_db=None).T
    found = front_end.centred_log_mel(samples)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-3)


def test_the_clipping_follows_the_peak_of_the_whole_utterance():
    quiet, loud = 1e-4 * speechlike(1.0, RATE), 0.9 * speechlike(1.0, RATE, seed=1)
    front_end = FRONT_ENDS[128]
    together = front_end(np.concatenate([quiet, loud]))
    apart = (front_end(quiet) + front_end(loud)) / 2
    assert abs(together[0] - apart[0]) > 10
    np.testing.assert_allclose(
        together, mean_mfcc(np.concatenate([quiet, loud]), 128), rtol=0, atol=1e-3
    )


def test_the_input_is_left_alone():
    samples = speechlike(1.0, RATE)
    before = samples.copy()
    samples.flags.writeable = False
    FRONT_ENDS[128](samples)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize(
    ("n_mfcc", "n_mels"), [(1, 1), (13, 40), (56, 128), (128, 128), (256, 256)]
)
def test_dct_matrix(n_mfcc, n_mels):
    wanted = scipy.fft.dct(np.eye(n_mels), axis=0, type=2, norm="ortho")[:n_mfcc]
    np.testing.assert_allclose(dct_matrix(n_mfcc, n_mels), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_other_contracts(rate):
    audio = MeanMfccSettings(
        sample_rate=rate, n_fft=512, hop_length=160, n_mels=64, n_mfcc=20, fmax=rate / 2, top_db=60
    )
    samples = speechlike(1.3, rate)
    mel = librosa.feature.melspectrogram(y=samples, sr=rate, n_fft=512, hop_length=160, n_mels=64)
    frames = librosa.feature.mfcc(S=librosa.power_to_db(mel, top_db=60), n_mfcc=20)
    np.testing.assert_allclose(MeanMfcc(audio)(samples), frames.mean(axis=1), rtol=0, atol=1e-3)
