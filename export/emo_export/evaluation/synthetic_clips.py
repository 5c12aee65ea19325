"""Synthetic speech-like clips, to test speech graphs without recordings.

A source-filter synthesizer after Klatt (1980), reduced to the features that a speech encoder
responds to: a voice with gliding pitch, three formants that move from vowel to vowel, fricative
noise, pauses and a noise floor. Voices, rates, levels and lengths vary. Every run gives the same
clips.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Signal = NDArray[np.float64]

SAMPLE_RATE = 16_000
CLIPS = 40
_SEED = 20_240_613
_SYLLABLE_S = 0.21
_GAIN_STEP = 32  # samples for which the gain of a harmonic is constant
_BANDWIDTHS = (80.0, 110.0, 160.0)
# First three formants in Hz of the Spanish vowels of men (Bradlow 1995, rounded).
_VOWELS = {
    "a": (640.0, 1160.0, 2440.0),
    "e": (460.0, 1830.0, 2560.0),
    "i": (290.0, 2150.0, 2880.0),
    "o": (460.0, 1020.0, 2400.0),
    "u": (320.0, 980.0, 2340.0),
}


@cache
def synthetic_clips() -> tuple[Floats, ...]:
    """Return mono clips of 1 to 5 s at ``SAMPLE_RATE``."""
    return tuple(_clip(np.random.default_rng([_SEED, number]), number) for number in range(CLIPS))


def _clip(random: np.random.Generator, number: int) -> Floats:
    duration_s = 1.0 + 4.0 * number / (CLIPS - 1)
    rate = random.uniform(0.7, 1.4)
    parts: list[Signal] = []
    length = int(duration_s * SAMPLE_RATE)
    voice = _Voice(
        pitch=random.uniform(90, 260),
        swing=random.uniform(0.03, 0.45),
        tract=random.uniform(0.95, 1.2),
        breath=random.uniform(0.0, 0.15),
    )
    while sum(len(part) for part in parts) < length:
        length_s = _SYLLABLE_S / rate * random.uniform(0.7, 1.5)
        kind = random.uniform()
        if kind < 0.15:
            parts.append(np.zeros(int(length_s * SAMPLE_RATE)))
            continue
        if kind < 0.5:
            parts.append(_fricative(random, length_s / 3))
        parts.append(voice.syllable(random, length_s))
    samples = np.concatenate(parts)[:length]
    samples /= np.abs(samples).max() + 1e-9
    noise = random.standard_normal(len(samples)) * 10 ** random.uniform(-3.5, -1.7)
    level = 10 ** random.uniform(-1.2, -0.1)
    return (level * np.clip(samples + noise, -1, 1)).astype(np.float32)


class _Voice:
    def __init__(self, pitch: float, swing: float, tract: float, breath: float) -> None:
        self._pitch, self._swing, self._tract, self._breath = pitch, swing, tract, breath

    def syllable(self, random: np.random.Generator, length_s: float) -> Signal:
        """Return a vowel that glides to another one, with its own pitch contour."""
        length = int(length_s * SAMPLE_RATE)
        time = np.linspace(0, 1, length)
        start, end = random.uniform(-1, 1, 2)
        pitch = self._pitch * 2 ** (self._swing * (start + (end - start) * time))
        phase = np.cumsum(pitch) / SAMPLE_RATE
        vowels = random.choice(list(_VOWELS), 2)
        first, second = (np.array(_VOWELS[vowel]) * self._tract for vowel in vowels)
        formants = first[:, None] + (second - first)[:, None] * time[::_GAIN_STEP]
        wave = np.zeros(length)
        before, sine = np.zeros(length), np.sin(2 * np.pi * phase)
        double = 2 * np.cos(2 * np.pi * phase)
        for harmonic in range(1, int(0.45 * SAMPLE_RATE / pitch.max())):
            gain = _resonance(harmonic * pitch[::_GAIN_STEP], formants) / harmonic
            wave += np.repeat(gain, _GAIN_STEP)[:length] * sine
            # sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x)
            before, sine = sine, double * sine - before
        wave += self._breath * random.standard_normal(length) * np.abs(wave).mean()
        envelope = np.sin(np.pi * time) ** 0.6
        return wave * envelope * random.uniform(0.5, 1.0)


def _resonance(frequencies: Signal, formants: Signal) -> Signal:
    """Return the gain of parallel resonances at ``frequencies`` [time]."""
    gain = np.zeros_like(frequencies)
    for number, (center, width) in enumerate(zip(formants, _BANDWIDTHS, strict=True)):
        gain += 0.6**number / np.sqrt(1 + ((frequencies - center) / width) ** 2)
    return gain


def _fricative(random: np.random.Generator, length_s: float) -> Signal:
    """Return band-limited noise, as in the fricatives s and f."""
    length = int(length_s * SAMPLE_RATE)
    spectrum = np.fft.rfft(random.standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    center, width = random.uniform(2500, 6500), random.uniform(700, 2000)
    spectrum *= np.exp(-0.5 * ((frequencies - center) / width) ** 2)
    return np.fft.irfft(spectrum, length) * random.uniform(0.1, 0.5)
