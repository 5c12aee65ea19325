"""Log-mel spectrograms, equal to ``WhisperFeatureExtractor``'s, with NumPy only."""

import math

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import Features, split_windows
from emo_runtime.audio.frame_front_end import FrameFrontEnd
from emo_runtime.audio.mel import slaney_filters
from emo_runtime.audio.spectrogram import LogMelSpectrogram, SpectrogramSettings
from emo_runtime.bundle.front_ends import LogMelSettings

Floats = NDArray[np.float32]

_LOWEST = -10.0  # log10 of the floor of the mel power
_RANGE = 8.0  # in factors of 10 below the utterance's peak


class LogMel(FrameFrontEnd):
    """Front end ``log_mel``: features [1, n_mels, frames], one frame for each ``hop_length``.

    Equals ``WhisperFeatureExtractor(padding="do_not_pad")``, or with ``padding="max_length"`` where
    the settings have a ``pad_s``. Sound of ``n_fft // 2`` samples or fewer, which that extractor
    refuses, is padded with zeros to one sample more.

    A level gain g is added as ``log10(g ** 2)`` to the logarithm of the mel power before its floor
    of 1e-10: the same as a gain on the samples.
    """

    def __init__(self, settings: LogMelSettings) -> None:
        margin = settings.n_fft // 2
        super().__init__(
            settings,
            frame_length=settings.n_fft,
            hop_length=settings.hop_length,
            bands=settings.n_mels,
            margin=margin,
            edges="mirror",
            min_samples=margin + 1,
        )
        self._settings = settings
        self._spectrogram = _spectrogram(settings)
        self._padded_samples = _samples(settings, settings.pad_s)
        self._padded_frames = (self._padded_samples or 0) // settings.hop_length
        limit = settings.max_samples()
        self._max_frames = None if limit is None else max(1, limit // settings.hop_length)

    def log_frames(self, signal: Floats) -> Floats:
        """Natural logarithms of the mel power, float32 [frames, n_mels]."""
        return self._spectrogram(signal)

    def padding(self, length: int) -> int:
        """Zeros after the sound: with ``pad_s`` only as many as frames of the sound can reach."""
        if self._padded_samples is not None:
            return max(0, min(self._padded_samples - length, self._settings.n_fft))
        return super().padding(length)

    def assemble(self, frames: Floats, length: int, gain: float, *, truncated: bool) -> Features:
        """Features [1, n_mels, frames]; the extractor drops the last frame."""
        rows = frames[:-1] * np.float32(1 / math.log(10))
        rows += np.float32(gain / 10)
        np.maximum(rows, np.float32(_LOWEST), out=rows)
        lowest = rows.max() - np.float32(_RANGE)
        np.maximum(rows, lowest, out=rows)
        steps = min(max(1, length // self.hop_length), len(rows))
        windows = split_windows(steps, self._max_frames)
        silence = max(np.float32(_LOWEST), lowest)
        parts = []
        for window in windows:
            end = len(rows) if window is windows[-1] else window.stop
            parts.append(self._part(rows[window.start : end], silence))
        lengths = tuple(window.stop - window.start for window in windows)
        return Features(tuple(parts), lengths, truncated)

    def _part(self, rows: Floats, silence: np.float32) -> Floats:
        """One window as [1, n_mels, frames], padded to ``pad_s``."""
        count = self._padded_frames or len(rows)
        rows = rows[:count]
        part = np.full((1, self.bands, count), silence, np.float32)
        part[0, :, : len(rows)] = rows.T
        part += np.float32(4)
        part *= np.float32(0.25)
        return part


def _samples(settings: LogMelSettings, seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * settings.sample_rate)


def _spectrogram(settings: LogMelSettings) -> LogMelSpectrogram:
    n_fft = settings.n_fft
    filters = slaney_filters(
        settings.sample_rate, n_fft, settings.n_mels, settings.fmin, settings.fmax
    )
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    return LogMelSpectrogram(SpectrogramSettings(window, settings.hop_length, n_fft, filters))
