"""Mean MFCC vectors, equal to librosa 0.11's, with NumPy only.

Equals ``mean(librosa.feature.mfcc(y, sr=sr, n_mfcc=..., n_mels=...), axis=time)``, with three exact
optimizations:

- The DCT is linear, so it is computed once, for the mean log-mel frame.
- A mel band covers a few per cent of the spectrum, so bands are multiplied in groups, each with its
  own bins only. The products are also too small for the threads of NumPy's BLAS, which would
  compete with ONNX Runtime's.
- Frames are processed in blocks of 32, which fit into the cache.
"""

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.mel import group_bands, slaney_filters
from emo_runtime.audio.spectrogram import BLOCK_FRAMES
from emo_runtime.bundle.front_ends import MeanMfccSettings

Floats = NDArray[np.float32]


class MeanMfcc:
    """Mean MFCC vector of an utterance, for given settings. Thread-safe."""

    def __init__(self, contract: MeanMfccSettings) -> None:
        self.contract = contract
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(contract.n_fft) / contract.n_fft)
        self._window = window.astype(np.float32)
        self._groups = group_bands(_filters(contract))
        self._dct = dct_matrix(contract.n_mfcc, contract.n_mels)
        self._local = threading.local()

    def __call__(self, samples: Floats) -> Floats:
        """Return the mean MFCC vector, float32 [n_mfcc], of samples [time] at ``sample_rate``."""
        return self.mean(self.centred_log_mel(samples))

    def centred_log_mel(self, samples: Floats) -> Floats:
        """Return the log-mel frames of an utterance with n_fft / 2 zeros on either side."""
        return self.log_mel(samples, margin=self.contract.n_fft // 2)

    def log_mel(self, samples: Floats, margin: int = 0) -> Floats:
        """Return log-mel frames in dB, float32 [frames, n_mels], without the ``top_db`` floor.

        ``margin`` zeros are added before and after the samples. Equals librosa's
        ``power_to_db(melspectrogram(..., center=False), top_db=None)``, transposed.
        """
        contract = self.contract
        length = len(samples) + 2 * margin
        windows = max(0, 1 + (length - contract.n_fft) // contract.hop_length)
        result = np.empty((windows, contract.n_mels), np.float32)
        workspace = self._workspace()
        for start in range(0, windows, BLOCK_FRAMES):
            block = result[start : start + BLOCK_FRAMES]
            workspace.fill(samples, start * contract.hop_length - margin)
            self._mel_power(workspace, block)
        np.maximum(result, np.float32(contract.amin), out=result)
        np.log10(result, out=result)
        result *= np.float32(10)
        return result

    def mean(self, log_mel: Floats) -> Floats:
        """Return the mean MFCC vector [n_mfcc] of log-mel frames, with the ``top_db`` floor."""
        clipped = np.maximum(log_mel, log_mel.max() - np.float32(self.contract.top_db))
        mean = clipped.mean(axis=0, dtype=np.float64)
        coefficients: Floats = (self._dct * mean).sum(axis=1).astype(np.float32)
        return coefficients

    def _mel_power(self, workspace: "_Workspace", out: Floats) -> None:
        count = len(out)
        frames, spectrum = workspace.frames[:count], workspace.spectrum[:count]
        np.multiply(workspace.windows[:count], self._window, out=frames)
        np.fft.rfft(frames, out=spectrum)
        parts = spectrum.view(np.float32)
        np.multiply(parts, parts, out=parts)
        power = np.add(parts[:, ::2], parts[:, 1::2], out=workspace.power[:count])
        for group in self._groups:
            np.matmul(power[:, group.bins], group.weights, out=out[:, group.bands])

    def _workspace(self) -> "_Workspace":
        """Return the workspace of the current thread."""
        if not hasattr(self._local, "workspace"):
            self._local.workspace = _Workspace(self.contract)
        workspace: _Workspace = self._local.workspace
        return workspace


class _Workspace:
    """Arrays of one block, which each thread reuses.

    New arrays for each call cost more than the arithmetic, because the kernel must clear their
    pages (measured: 2.6 ms instead of 1.6 ms for 5 s of sound in a fresh process).
    """

    def __init__(self, contract: MeanMfccSettings) -> None:
        hop, size, bins = contract.hop_length, contract.n_fft, 1 + contract.n_fft // 2
        self._samples = np.zeros((BLOCK_FRAMES - 1) * hop + size, np.float32)
        sliding = np.lib.stride_tricks.sliding_window_view(self._samples, size)
        self.windows = sliding[::hop]
        self.frames = np.empty((BLOCK_FRAMES, size), np.float32)
        self.spectrum: NDArray[Any] = np.empty((BLOCK_FRAMES, bins), np.complex64)
        self.power = np.empty((BLOCK_FRAMES, bins), np.float32)

    def fill(self, samples: Floats, start: int) -> None:
        """Copy a block of samples from ``start`` on (may be negative), padded with zeros."""
        before = max(0, -start)
        block = samples[max(0, start) : max(0, start + len(self._samples))]
        self._samples[:before] = 0
        self._samples[before : before + len(block)] = block
        self._samples[before + len(block) :] = 0


def dct_matrix(n_mfcc: int, n_mels: int) -> NDArray[np.float64]:
    """Return rows of the orthonormal DCT-II, [n_mfcc, n_mels], as ``scipy.fft.dct`` has them."""
    order = np.arange(n_mfcc)[:, np.newaxis]
    band = np.arange(n_mels)
    matrix = np.cos(np.pi * order * (2 * band + 1) / (2 * n_mels)) * math.sqrt(2 / n_mels)
    matrix[0] /= math.sqrt(2)
    return matrix


def _filters(contract: MeanMfccSettings) -> Floats:
    filters = slaney_filters(
        contract.sample_rate, contract.n_fft, contract.n_mels, contract.fmin, contract.fmax
    )
    return filters.astype(np.float32)
