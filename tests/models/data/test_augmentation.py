"""Augmentation compared with scipy, with closed forms and with soundfile."""

import io

import numpy as np
import pytest
import soundfile
from scipy import signal

from emo_models.data import augmentation
from emo_models.data.augmentation import Floats

RATE = 16_000


def tone(frequency: float, duration_s: float = 1.0, amplitude: float = 0.3) -> Floats:
    time = np.arange(round(duration_s * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def rms(samples: Floats) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def db(ratio: float) -> float:
    return 20 * np.log10(ratio)


def test_gain_scales_and_clips_at_full_scale() -> None:
    samples = np.array([0.01, -0.2, 0.5], np.float32)
    np.testing.assert_allclose(augmentation.gain(samples, 20), [0.1, -1, 1], rtol=1e-6)


def test_low_pass_filter_equals_scipy_firwin() -> None:
    taps = augmentation.low_pass_filter(RATE, 4000)
    expected = signal.firwin(
        len(taps), 3800, window=("kaiser", 0.1102 * (65 - 8.7)), fs=RATE, scale=True
    )
    np.testing.assert_allclose(taps, expected, atol=1e-7)


@pytest.mark.parametrize("cutoff", [3400, 4000, 5500, 7500])
def test_low_pass_keeps_the_pass_band_and_removes_the_stop_band(cutoff: int) -> None:
    taps = augmentation.low_pass_filter(RATE, cutoff)
    frequency, response = signal.freqz(taps, worN=8192, fs=RATE)
    level = db(np.maximum(np.abs(response), 1e-9))
    assert np.abs(level[frequency < cutoff - 420]).max() < 0.1  # type: ignore[index]
    assert level[frequency > cutoff + 20].max() < -60  # type: ignore[index]


def test_low_pass_has_no_delay() -> None:
    samples = tone(500)
    middle = slice(2000, -2000)
    filtered = augmentation.low_pass(samples, RATE, 4000)
    np.testing.assert_allclose(filtered[middle], samples[middle], atol=1e-3)


def test_mu_law_equals_the_formula_of_g711_at_its_own_rate() -> None:
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, 4000).astype(np.float32)
    samples[0] = 0.5  # the peak that is coded without a change of level
    coded = augmentation.mu_law(samples, 8000)
    # Continuous mu-law companding with 8 bits; G.711 approximates it by segments.
    compressed = np.sign(samples) * np.log1p(255 * np.abs(samples)) / np.log1p(255)
    quantized = np.round(compressed * 127) / 127
    expected = np.sign(quantized) * np.expm1(np.abs(quantized) * np.log1p(255)) / 255
    assert np.abs(coded - expected).max() < 0.03
    assert 30 < db(rms(samples) / rms(coded - samples)) < 45


@pytest.mark.parametrize("name", ["mu_law", "gsm"])
def test_telephone_codecs_remove_what_lies_above_4_khz(name: str) -> None:
    coder = getattr(augmentation, name)
    low, high = tone(1000), tone(6000)
    assert abs(db(rms(coder(low, RATE)) / rms(low))) < 1.5
    mixed = coder(low + high, RATE)
    frequency, density = signal.welch(mixed, RATE, nperseg=1024)
    above = density[frequency > 4200].sum() / density.sum()
    assert above < 1e-3
    assert len(mixed) == len(low)


def test_gsm_at_its_own_rate_equals_soundfile() -> None:
    samples = tone(700)[:8000]
    samples *= np.float32(0.5 / np.abs(samples).max())
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="GSM610")
    file.seek(0)
    expected, _ = soundfile.read(file, dtype="float32")
    np.testing.assert_allclose(augmentation.gsm(samples, 8000), expected[:8000], atol=1e-4)


@pytest.mark.skipif(not augmentation.opus_available(), reason="libsndfile does not encode Opus")
def test_opus_keeps_the_waveform_approximately_and_the_length() -> None:
    samples = tone(440) + tone(1200, amplitude=0.1)
    coded = augmentation.opus(samples, RATE)
    assert len(coded) == len(samples)
    middle = slice(2000, -2000)
    error = db(rms(samples[middle]) / rms(coded[middle] - samples[middle]))
    assert 5 < error < 60


def test_codecs_keep_silence_and_very_quiet_sound() -> None:
    assert not augmentation.mu_law(np.zeros(800, np.float32), RATE).any()
    quiet = tone(1000) * np.float32(1e-4)
    assert abs(db(rms(augmentation.mu_law(quiet, RATE)) / rms(quiet))) < 1


def test_speed_changes_length_and_pitch_by_the_factor() -> None:
    faster = augmentation.speed(tone(1000), 1.25)
    assert len(faster) == pytest.approx(RATE / 1.25, abs=2)
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(len(faster))))
    assert np.argmax(spectrum) * RATE / len(faster) == pytest.approx(1250, abs=3)


def test_cut_keeps_the_start_or_a_random_part() -> None:
    samples = np.arange(1000, dtype=np.float32)
    np.testing.assert_array_equal(augmentation.cut(samples, 100, 2), samples[:200])
    part = augmentation.cut(samples, 100, 2, np.random.default_rng(3))
    np.testing.assert_array_equal(part, samples[int(part[0]) : int(part[0]) + 200])
    assert part[0] > 0
    assert augmentation.cut(samples, 100, 20) is samples


def test_active_rms_ignores_silence() -> None:
    samples = np.concatenate([tone(1000), np.zeros(3 * RATE, np.float32)])
    assert augmentation.active_rms(samples, RATE) == pytest.approx(0.3 / np.sqrt(2), rel=1e-3)
    assert augmentation.active_rms(np.zeros(10, np.float32), RATE) == 0


def test_noise_is_added_at_the_ratio() -> None:
    rng = np.random.default_rng(0)
    samples, noise = tone(1000), rng.standard_normal(RATE).astype(np.float32)
    added = augmentation.add_noise(samples, RATE, noise, 12) - samples
    assert db(rms(samples) / rms(added)) == pytest.approx(12, abs=0.05)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_power_of_coloured_noise_falls_with_the_exponent(exponent: float) -> None:
    noise = augmentation.coloured_noise(20 * RATE, RATE, exponent, np.random.default_rng(0))
    frequency, density = signal.welch(noise, RATE, nperseg=2048)
    chosen = (frequency > 100) & (frequency < 7000)
    slope = np.polyfit(np.log(frequency[chosen]), np.log(density[chosen]), 1)[0]
    assert -slope == pytest.approx(exponent, abs=0.08)


def test_babble_gives_every_voice_the_same_level() -> None:
    rng = np.random.default_rng(0)
    mixed = augmentation.babble([tone(500), tone(2000, amplitude=0.01)], RATE, RATE, rng)
    spectrum = np.abs(np.fft.rfft(mixed))
    assert db(spectrum[500] / spectrum[2000]) == pytest.approx(0, abs=0.5)


def test_room_response_decays_by_60_db_in_its_reverberation_time() -> None:
    rng = np.random.default_rng(0)
    response = augmentation.room_response(RATE, 0.6, 3, rng)
    tail = response[1:].astype(np.float64)
    assert response[0] == 1
    assert 10 * np.log10(1 / np.sum(tail**2)) == pytest.approx(3, abs=1e-3)
    # Schroeder's backward integration, fitted where the truncated end has no influence.
    decay = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
    chosen = (decay < -5) & (decay > -35)
    slope = np.polyfit(np.flatnonzero(chosen) / RATE, decay[chosen], 1)[0]
    assert -60 / slope == pytest.approx(0.6, rel=0.1)


def test_reverberate_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(3000).astype(np.float32)
    response = augmentation.room_response(RATE, 0.2, 0, rng)
    expected = signal.convolve(samples.astype(float), response.astype(float))[:3000]
    np.testing.assert_allclose(
        augmentation.reverberate(samples, response), expected, rtol=1e-4, atol=1e-4
    )


def test_equalize_has_the_drawn_gains() -> None:
    samples = np.zeros(4096, np.float32)
    samples[2048] = 1
    filtered = augmentation.equalize(samples, RATE, np.random.default_rng(5), 16)
    drawn = np.random.default_rng(5).uniform(-8, 8, 8)
    spectrum = np.abs(np.fft.rfft(filtered))
    for frequency, expected in zip((1000, 2000, 3500, 5500), drawn[3:7], strict=True):
        assert db(spectrum[frequency * 4096 // RATE]) == pytest.approx(expected, abs=1.5)
    phase = np.fft.rfft(filtered) * np.exp(2j * np.pi * np.arange(2049) * 2048 / 4096)
    assert np.abs(phase.imag).max() < 1e-3


def test_random_recordings_are_repeated_by_the_seed_and_finite() -> None:
    voices = [tone(300), tone(900)]
    lengths = set()
    for seed in range(40):
        first, second = (
            augmentation.random_recording(tone(600, 3), RATE, voices, np.random.default_rng(seed))
            for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)
        assert np.isfinite(first).all()
        assert first.dtype == np.float32
        lengths.add(len(first))
    assert len(lengths) > 5
