"""Synthetic sounds: speech-like noise, tones, silence."""

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def speechlike(duration_s: float, sample_rate: int, seed: int = 0) -> Floats:
    """Harmonics of a gliding pitch in syllable-long bursts over faint noise, peak 0.5."""
    draw = np.random.default_rng(seed)
    length = max(1, round(duration_s * sample_rate))
    time = np.arange(length) / sample_rate
    pitch = 120 + 60 * draw.random() + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voice = np.zeros(length)
    for harmonic in range(1, 12):
        voice += np.sin(harmonic * phase + draw.random()) / harmonic
    bursts = np.clip(np.sin(2 * np.pi * 4 * time + draw.random()), 0, None)
    sound = voice * bursts + 0.01 * draw.normal(size=length)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def as_file(
    samples: NDArray[np.generic], sample_rate: int, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    """The bytes of a sound file of samples [time] or [time, channels]."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, sample_rate, format=kind, subtype=subtype)
    return stream.getvalue()
