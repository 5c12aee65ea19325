"""Kaldi filter banks, equal to ``SeamlessM4TFeatureExtractor``'s, with NumPy only."""

import math

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import Features, split_windows
from emo_runtime.audio.frame_front_end import FrameFrontEnd
from emo_runtime.audio.mel import kaldi_filters
from emo_runtime.audio.spectrogram import LogMelSpectrogram, SpectrogramSettings
from emo_runtime.bundle.front_ends import KaldiFbankSettings

Floats = NDArray[np.float32]

_EPSILON = 1e-7  # added to variances
_NEPERS_PER_DB = math.log(10) / 10  # of power


class KaldiFbank(FrameFrontEnd):
    """Front end ``kaldi_fbank``: features [1, frames // stack, stack * n_mels].

    Frames are those of Kaldi's ``snip_edges``: only whole ones, no padding. Sound that is too short
    for one row of features, or for a variance, is padded with zeros to that length.

    As in the extractor, normalization covers the whole utterance and the frames beyond ``max_s``
    are dropped after it. A level gain g is added as ``log(g ** 2)`` to the logarithm of the mel
    power before its floor: the same as a gain on the samples.
    """

    def __init__(self, settings: KaldiFbankSettings) -> None:
        frames = max(settings.stack, 2 if settings.normalize == "utterance" else 1)
        super().__init__(
            settings,
            frame_length=settings.frame_length,
            hop_length=settings.hop_length,
            bands=settings.n_mels,
            min_samples=settings.frame_length + (frames - 1) * settings.hop_length,
            cut_samples=False,
        )
        self._settings = settings
        self._spectrogram = _spectrogram(settings)

    def log_frames(self, signal: Floats) -> Floats:
        """Natural logarithms of the mel power, float32 [frames, n_mels]."""
        return self._spectrogram(signal)

    def assemble(
        self,
        frames: Floats,
        length: int,  # noqa: ARG002  (only the number of frames matters)
        gain: float,
        *,
        truncated: bool,
    ) -> Features:
        """Features [1, frames // stack, stack * n_mels]."""
        settings = self._settings
        energies = frames + np.float32(gain * _NEPERS_PER_DB)
        np.maximum(energies, np.float32(math.log(settings.floor)), out=energies)
        rows = self._stacked(self._normalized(energies))
        limit = settings.max_frames()
        max_rows = None if limit is None else limit // settings.stack
        if settings.beyond_max == "truncate" and max_rows is not None and len(rows) > max_rows:
            rows, truncated = rows[:max_rows], True
        windows = split_windows(len(rows), max_rows)
        parts = tuple(self._padded(rows[window])[np.newaxis] for window in windows)
        lengths = tuple(window.stop - window.start for window in windows)
        return Features(parts, lengths, truncated)

    def _normalized(self, energies: Floats) -> Floats:
        settings = self._settings
        if settings.normalize == "none":
            return energies
        if settings.normalize == "fixed":
            return (energies - np.float32(settings.mean)) / np.float32(settings.std)
        centred = energies - energies.mean(axis=0, dtype=np.float64)
        variance = np.square(centred).sum(axis=0) / (len(centred) - 1)
        normalized: Floats = (centred / np.sqrt(variance + _EPSILON)).astype(np.float32)
        return normalized

    def _stacked(self, frames: Floats) -> Floats:
        stack, left_over = self._settings.stack, len(frames) % self._settings.stack
        if left_over and self._settings.left_over == "pad":
            filling = np.full(
                (stack - left_over, self.bands), self._settings.padding_value, np.float32
            )
            frames = np.concatenate([frames, filling])
        else:
            frames = frames[: len(frames) - left_over]
        return frames.reshape(-1, stack * self.bands)

    def _padded(self, rows: Floats) -> Floats:
        settings = self._settings
        if settings.pad_frames is None:
            return rows
        energy = self._normalized(np.zeros((1, 1), np.float32))[0, 0]
        padded = np.full((settings.pad_frames // settings.stack, rows.shape[1]), energy, np.float32)
        padded[: len(rows)] = rows
        return padded


def _spectrogram(settings: KaldiFbankSettings) -> LogMelSpectrogram:
    length = settings.frame_length
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1))
    if settings.window == "povey":
        window = window**0.85
    return LogMelSpectrogram(
        SpectrogramSettings(
            window * settings.scale,
            settings.hop_length,
            settings.fft_length,
            kaldi_filters(
                settings.sample_rate,
                settings.fft_length,
                settings.n_mels,
                settings.fmin,
                settings.fmax,
            ),
            remove_dc=settings.remove_dc,
            preemphasis=settings.preemphasis or None,
        )
    )
