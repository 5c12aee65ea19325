"""The front end ``kaldi_fbank`` against the extractors of Wav2Vec2-BERT and AST."""

import numpy as np
import pytest
import soxr

from emo_runtime.audio.kaldi_fbank import KaldiFbank
from emo_runtime.bundle.front_ends import KaldiFbankSettings, Level
from helpers.reference_features import ast, seamless, seamless_in_float64
from helpers.sounds import speechlike

RATE = 16_000
FRONT_END = KaldiFbank(KaldiFbankSettings(left_over="pad"))
AST = KaldiFbank(
    KaldiFbankSettings(
        window="hann",
        scale=1.0,
        n_mels=128,
        normalize="fixed",
        mean=-4.2677393,
        std=2 * 4.5689974,
        stack=1,
        pad_frames=1024,
        max_s=10.24,
    )
)


def features(samples, front_end=FRONT_END):
    [part] = front_end.whole(samples).parts
    assert part.dtype == np.float32
    assert part.flags.c_contiguous
    return part


def assert_close(found, wanted, tolerance=1e-4):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("duration", [0.1, 1.0, 5.0, 60.0])
def test_speechlike_sound(duration):
    samples = speechlike(duration, RATE, seed=round(10 * duration))
    assert_close(features(samples), seamless(samples))


def test_telephone_sound_has_rounding_errors_only_above_4_khz():
    samples = soxr.resample(speechlike(3.0, 8000), 8000, RATE, quality="HQ")
    assert_close(features(samples), seamless(samples))


# Two frames, then around hop and block boundaries.
@pytest.mark.parametrize("length", [560, 719, 720, 721, 5359, 5360, 5361, 5519, 5520, 5521, 5680])
def test_lengths(length):
    samples = speechlike(1.0, RATE)[:length]
    frames = 1 + (length - 400) // 160
    found = features(samples)
    assert found.shape == (1, (frames + 1) // 2, 160)
    assert_close(found, seamless(samples))


@pytest.mark.parametrize("length", [1, 2, 399, 400, 559])
def test_shorter_than_two_frames(length):
    samples = speechlike(1.0, RATE)[:length]
    assert_close(features(samples), seamless(np.pad(samples, (0, 560 - length))))


def test_an_odd_frame_is_dropped_as_by_the_attention_mask():
    samples = speechlike(1.0, RATE)[: 400 + 160 * 32]
    dropped = features(samples, KaldiFbank(KaldiFbankSettings()))
    padded = features(samples)
    assert padded.shape[1] == dropped.shape[1] + 1 == 17
    np.testing.assert_array_equal(dropped, padded[:, :-1])
    filled = features(samples, KaldiFbank(KaldiFbankSettings(left_over="pad", padding_value=1.0)))
    np.testing.assert_array_equal(filled[0, -1, 80:], np.ones(80))


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("constant", np.full(RATE, 0.3)),
        ("full scale", np.sign(np.sin(np.arange(RATE) * 0.1))),
        ("denormal", np.full(RATE, 1e-40)),
        ("one click", np.eye(1, RATE, 5000)[0]),
        ("silence, then noise", np.r_[np.zeros(RATE), np.random.default_rng(0).normal(size=999)]),
        ("a tone over 120 dB", np.sin(np.arange(RATE) * 0.3) * np.logspace(-6, 0, RATE)),
    ],
)
def test_unusual_sounds(name, samples):
    # In float64: float32 means of equal numbers, divided by a deviation of 0.0003, are noise.
    samples = samples.astype(np.float32)
    assert_close(features(samples), seamless_in_float64(samples))


def test_silence_is_zero():
    np.testing.assert_array_equal(features(np.zeros(RATE, np.float32)), np.zeros((1, 49, 160)))


@pytest.mark.parametrize("duration", [0.01, 1.0, 10.24, 12.0])
def test_the_extractor_of_ast(duration):
    samples = speechlike(duration, RATE)
    found = features(samples, AST)
    assert_close(found, ast(np.pad(samples, (0, max(0, 400 - len(samples))))))
    assert AST.whole(samples).truncated == (duration > 10.3)


def test_truncation_after_the_normalization():
    samples = speechlike(4.0, RATE)
    result = KaldiFbank(KaldiFbankSettings(max_s=3.0)).whole(samples)
    assert result.truncated
    assert_close(result.parts[0], seamless(samples, max_length=300, truncation=True))


def test_windows_are_the_whole_divided():
    samples = speechlike(7.0, RATE)
    result = KaldiFbank(KaldiFbankSettings(max_s=3.0, beyond_max="windows")).whole(samples)
    assert not result.truncated
    assert result.lengths == (116, 116, 117)
    assert [part.shape[1] for part in result.parts] == list(result.lengths)
    whole = features(samples, KaldiFbank(KaldiFbankSettings()))
    np.testing.assert_array_equal(np.concatenate(result.parts, axis=1), whole)


@pytest.mark.parametrize("amplitude", [1e-5, 1e-3, 1.0])
def test_level_equals_a_gain_on_the_samples(amplitude):
    samples = np.concatenate([np.zeros(3000, np.float32), speechlike(2.0, RATE)])
    samples *= np.float32(amplitude)
    level = Level(target_dbfs=-26.0, max_gain_db=60.0)
    plain = KaldiFbankSettings(normalize="none", stack=1)
    found = features(
        samples, KaldiFbank(KaldiFbankSettings(normalize="none", stack=1, level=level))
    )
    rms = np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    gain = min(10 ** (-26 / 20) / rms, 1000.0)
    scaled = (samples.astype(np.float64) * gain).astype(np.float32)
    # Rounding the scaled samples to float32 alone moves the quietest bands of the reference.
    assert_close(found, features(scaled, KaldiFbank(plain)), 1e-3)
