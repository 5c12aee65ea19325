"""Log-mel frames, computed in float64 and in blocks of frames that stay in the cache."""

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.mel import group_bands

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCK_FRAMES = 32
# Logarithm of zero power, far below the floor of every front end.
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class SpectrogramSettings:
    """Settings of ``LogMelSpectrogram``.

    Attributes:
        window: Window of one frame, float64 [frame_length].
        hop_length: Samples from one frame to the next.
        fft_length: Length of the FFT; shorter frames are padded with zeros.
        filters: Mel filters, float64 [bands, 1 + fft_length // 2].
        remove_dc: Subtract each frame's mean.
        preemphasis: Coefficient of the pre-emphasis inside each frame, or None.
    """

    window: Doubles
    hop_length: int
    fft_length: int
    filters: Doubles
    remove_dc: bool = False
    preemphasis: float | None = None


class LogMelSpectrogram:
    """Natural logarithm of the mel power of all whole frames. Safe to share between threads.

    The arithmetic is float64 with the spectrum rounded to complex64, as in ``spectrogram`` of
    transformers, which defines the front ends: nearly all frames have the same bits. In float32 the
    rounding error of a loud frame would hide its quiet bands: telephone sound at 16 kHz has only
    rounding errors above 4 kHz, and a division by the deviation of each band magnifies them.

    The only floor is the smallest normal float32, so that a gain over the whole utterance can
    be added later: ``max(log(power) + log(gain ** 2), log(floor))`` is the logarithm of
    ``max(gain ** 2 * power, floor)``.
    """

    def __init__(self, settings: SpectrogramSettings) -> None:
        self._settings = settings
        self._groups = group_bands(settings.filters)
        self._local = threading.local()

    def __call__(self, signal: Floats) -> Floats:
        """Log-mel frames, float32 [frames, bands], of a signal [time]."""
        settings = self._settings
        length, bands = len(settings.window), len(settings.filters)
        count = max(0, 1 + (len(signal) - length) // settings.hop_length)
        result = np.empty((count, bands), np.float32)
        if not count:
            return result
        sliding = np.lib.stride_tricks.sliding_window_view(signal, length)
        windows = sliding[:: settings.hop_length]
        workspace = self._workspace()
        for start in range(0, count, BLOCK_FRAMES):
            block = slice(start, start + BLOCK_FRAMES)
            result[block] = self._log_mel(windows[block], workspace)
        return result

    def _log_mel(self, windows: Floats, workspace: "_Workspace") -> Doubles:
        settings, count = self._settings, len(windows)
        frames, spectrum = workspace.frames[:count], workspace.spectrum[:count]
        if settings.remove_dc:
            mean = windows.mean(axis=1, dtype=np.float64, keepdims=True)
            np.subtract(windows, mean, out=frames)
        else:
            frames[:] = windows
        if settings.preemphasis is not None:
            previous = np.multiply(
                frames[:, :-1], settings.preemphasis, out=workspace.previous[:count]
            )
            frames[:, 1:] -= previous
            frames[:, 0] *= 1 - settings.preemphasis
        frames *= settings.window
        np.fft.rfft(frames, settings.fft_length, out=spectrum)
        rounded = workspace.rounded[:count]
        rounded[:] = spectrum
        parts = spectrum.view(np.float64)
        np.square(rounded.view(np.float32), out=parts, dtype=np.float64)
        power = np.add(parts[:, ::2], parts[:, 1::2], out=workspace.power[:count])
        mel = workspace.mel[:count]
        for group in self._groups:
            np.matmul(power[:, group.bins], group.weights, out=mel[:, group.bands])
        np.maximum(mel, _TINY, out=mel)
        return np.log(mel, out=mel)

    def _workspace(self) -> "_Workspace":
        """Return this thread's workspace."""
        if not hasattr(self._local, "workspace"):
            self._local.workspace = _Workspace(self._settings)
        workspace: _Workspace = self._local.workspace
        return workspace


class _Workspace:
    """Arrays of one block, kept by a thread: new ones would be new pages, cleared by the kernel."""

    def __init__(self, settings: SpectrogramSettings) -> None:
        length, bins = len(settings.window), settings.filters.shape[1]
        self.frames = np.empty((BLOCK_FRAMES, length), np.float64)
        self.previous = np.empty((BLOCK_FRAMES, length - 1), np.float64)
        self.spectrum: NDArray[Any] = np.empty((BLOCK_FRAMES, bins), np.complex128)
        self.rounded: NDArray[Any] = np.empty((BLOCK_FRAMES, bins), np.complex64)
        self.power = np.empty((BLOCK_FRAMES, bins), np.float64)
        self.mel = np.empty((BLOCK_FRAMES, len(settings.filters)), np.float64)
