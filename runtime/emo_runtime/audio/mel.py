"""Mel filter banks: Slaney's scale (librosa, Whisper) and Kaldi's."""

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
_Float = TypeVar("_Float", np.float32, np.float64)

_BANDS_PER_GROUP = 16


@dataclass(frozen=True, eq=False)
class BandGroup(Generic[_Float]):
    """Neighbouring mel bands with the range of spectrum bins that any of them covers."""

    bands: slice
    bins: slice
    weights: NDArray[_Float]


def group_bands(filters: NDArray[_Float]) -> list[BandGroup[_Float]]:
    """Split filters [n_mels, bins] into groups of bands, each with its own bins only.

    A band covers a few per cent of the spectrum. The products are also small enough that NumPy's
    BLAS does not start its threads, which would compete with ONNX Runtime's.
    """
    groups = []
    for start in range(0, len(filters), _BANDS_PER_GROUP):
        bands = slice(start, min(start + _BANDS_PER_GROUP, len(filters)))
        seen = np.flatnonzero(filters[bands].any(axis=0))
        bins = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)
        weights = np.ascontiguousarray(filters[bands, bins].T)
        groups.append(BandGroup(bands, bins, weights))
    return groups


def slaney_filters(sample_rate: int, n_fft: int, n_mels: int, fmin: float, fmax: float) -> Doubles:
    """Triangular filters [n_mels, 1 + n_fft // 2], Slaney scale and area norm.

    Equals ``librosa.filters.mel(sr=, n_fft=, n_mels=, fmin=, fmax=)``. Source: Slaney's Auditory
    Toolbox (1998).
    """
    bins = _bin_frequencies(n_fft, sample_rate)
    edges = _slaney_to_hz(np.linspace(_hz_to_slaney(fmin), _hz_to_slaney(fmax), n_mels + 2))
    area_norm = 2 / (edges[2:] - edges[:-2])
    return _triangles(bins, edges) * area_norm[:, np.newaxis]


def kaldi_filters(
    sample_rate: int, fft_length: int, n_mels: int, fmin: float, fmax: float
) -> Doubles:
    """Triangular filters [n_mels, 1 + fft_length // 2], triangles on Kaldi's mel scale.

    Equals ``transformers.audio_utils.mel_filter_bank(mel_scale="kaldi",
    triangularize_in_mel_space=True)``, transposed.
    """
    bins = _hz_to_kaldi(_bin_frequencies(fft_length, sample_rate))
    lowest, highest = _hz_to_kaldi(np.array([fmin, fmax]))
    return _triangles(bins, np.linspace(lowest, highest, n_mels + 2))


def _bin_frequencies(fft_length: int, sample_rate: int) -> Doubles:
    return np.fft.rfftfreq(fft_length, 1 / sample_rate).astype(np.float64)


def _triangles(bins: Doubles, edges: Doubles) -> Doubles:
    widths = np.diff(edges)
    slopes = edges[:, np.newaxis] - bins
    rising = -slopes[:-2] / widths[:-1, np.newaxis]
    falling = slopes[2:] / widths[1:, np.newaxis]
    triangles: Doubles = np.maximum(0, np.minimum(rising, falling))
    return triangles


def _hz_to_kaldi(frequency: Doubles) -> Doubles:
    return 1127.0 * np.log(1.0 + frequency / 700.0)


# Slaney's scale: linear up to 1 kHz (15 mel), then 27 mel for each factor of 6.4.
_LINEAR_HZ_PER_MEL = 200 / 3
_LOG_START_HZ = 1000.0
_LOG_START_MEL = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27


def _hz_to_slaney(frequency: float) -> float:
    if frequency < _LOG_START_HZ:
        return frequency / _LINEAR_HZ_PER_MEL
    return _LOG_START_MEL + math.log(frequency / _LOG_START_HZ) / _LOG_STEP


def _slaney_to_hz(mels: Doubles) -> Doubles:
    linear = mels * _LINEAR_HZ_PER_MEL
    above = _LOG_START_HZ * np.exp(_LOG_STEP * (mels - _LOG_START_MEL))
    return np.where(mels < _LOG_START_MEL, linear, above)
