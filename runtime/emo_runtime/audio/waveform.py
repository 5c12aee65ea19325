"""Samples as features, equal to ``Wav2Vec2FeatureExtractor``'s, with NumPy only."""

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import check_finite, check_not_empty
from emo_runtime.audio.features import Features, split_windows
from emo_runtime.audio.level import LevelMeter, gain_db
from emo_runtime.audio.row_buffer import RowBuffer
from emo_runtime.bundle.front_ends import WaveformSettings

Floats = NDArray[np.float32]

MIN_SAMPLES = 400  # one output frame of wav2vec 2.0's convolutions
_EPSILON = 1e-7  # added to the variance


class Waveform:
    """Front end ``waveform``: features [1, samples].

    Sound shorter than ``MIN_SAMPLES`` is padded with zeros after the normalization, as the
    extractor's ``padding="max_length"`` does. The level gain is applied to the samples before the
    normalization; samples may exceed 1 after it.
    """

    def __init__(self, settings: WaveformSettings) -> None:
        self.settings = settings
        self.sample_rate = settings.sample_rate
        limit = settings.max_samples()
        self.max_samples = limit if settings.beyond_max == "truncate" else None
        self._window_samples = limit

    def whole(self, samples: Floats) -> Features:
        """Features of a whole utterance, samples [time]. Raises AudioError."""
        check_finite(samples)
        kept = samples[: self.max_samples]
        meter = LevelMeter()
        if self.settings.level is not None:
            meter.feed(kept)
        return self.assemble(kept, meter.rms(), truncated=len(kept) < len(samples))

    def stream(self, window_s: float | None = None) -> "WaveformStream":
        """A stream of one utterance; with ``window_s`` only the last ``window_s`` seconds count."""
        return WaveformStream(self, window_s)

    def assemble(self, samples: Floats, rms: float, *, truncated: bool) -> Features:
        """Features of all samples of an utterance with a given RMS."""
        check_not_empty(samples)
        gain = 10 ** (gain_db(self.settings.level, rms) / 20)
        values = samples * np.float32(gain)
        if self.settings.normalize:
            centred = values - values.mean(dtype=np.float64)
            deviation = np.sqrt(np.dot(centred, centred) / len(centred) + _EPSILON)
            values = (centred / deviation).astype(np.float32)
        if len(values) < MIN_SAMPLES:
            values = np.concatenate([values, np.zeros(MIN_SAMPLES - len(values), np.float32)])
        windows = split_windows(len(values), self._window_samples)
        parts = tuple(values[np.newaxis, window] for window in windows)
        lengths = tuple(window.stop - window.start for window in windows)
        return Features(parts, lengths, truncated)


class WaveformStream:
    """Stream of one utterance that arrives in packets; keeps all samples."""

    def __init__(self, front_end: Waveform, window_s: float | None) -> None:
        self._front_end = front_end
        self._limit, keep = front_end.max_samples, None
        if window_s is not None:
            keep = max(1, round(window_s * front_end.sample_rate))
            keep = min(keep, self._limit or keep)
            self._limit = None
        self._samples = RowBuffer(keep=keep)
        self._meter = LevelMeter(keep)
        self._received = self._used = 0

    def feed(self, samples: Floats) -> None:
        """Take samples [time]. Raises AudioError, and changes nothing, if one is not finite."""
        check_finite(samples)
        self._received += len(samples)
        if self._limit is not None:
            samples = samples[: self._limit - self._used]
        self._used += len(samples)
        if self._front_end.settings.level is not None:
            self._meter.feed(samples)
        self._samples.append(samples)

    def features(self) -> Features:
        """Features of the sound so far, as if it ended now; changes no later result.

        Equals ``Waveform.whole`` of all samples so far. Raises AudioError where there are none.
        """
        return self._front_end.assemble(
            self._samples.rows, self._meter.rms(), truncated=self._received > self._used
        )
