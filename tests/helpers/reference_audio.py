"""librosa, as the paper's system calls it: what the runtime's front end is compared with."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings():
    # librosa.load imports audioread, which imports modules that Python 3.13 has dropped.
    warnings.filterwarnings("ignore", message=".*slated for removal", category=DeprecationWarning)
    import audioread.rawread  # noqa: F401

import librosa

SAMPLE_RATE = 22_050
Floats = NDArray[np.float32]


def load(source: Any, sample_rate: int = SAMPLE_RATE) -> Floats:
    """Mono samples at ``sample_rate`` of a path or a binary file object."""
    samples, _ = librosa.load(source, sr=sample_rate)
    return samples


def mean_mfcc(samples: Floats, n_mfcc: int) -> Floats:
    """Mean MFCC vector [n_mfcc] of samples at 22,050 Hz."""
    frames = librosa.feature.mfcc(y=samples, sr=SAMPLE_RATE, n_mfcc=n_mfcc, n_mels=max(128, n_mfcc))
    return frames.mean(axis=1)
