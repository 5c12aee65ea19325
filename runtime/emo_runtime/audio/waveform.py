"""Samples as features, equal to ``Wav2Vec2FeatureExtractor``'s, with NumPy only."""

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import TELEPHONE_HZ, Features, split_windows
from emo_runtime.audio.frame_front_end import check_finite
from emo_runtime.audio.level import LevelMeter, gain_db
from emo_runtime.audio.mel import first_band_above, slaney_edges, slaney_filters
from emo_runtime.audio.narrow_band import is_narrow, wants_check
from emo_runtime.audio.row_buffer import RowBuffer
from emo_runtime.audio.spectrogram import LogMelSpectrogram, SpectrogramSettings
from emo_runtime.bundle.front_ends import WaveformSettings
from emo_runtime.errors import AudioError

Floats = NDArray[np.float32]

MIN_SAMPLES = 400  # one output frame of wav2vec 2.0's convolutions
_EPSILON = 1e-7  # added to the variance
_CHECK_BANDS = 40
_CHECK_WINDOW_S = 0.032


class Waveform:
    """Front end ``waveform``: features [1, samples].

    Sound shorter than ``MIN_SAMPLES`` is padded with zeros after the normalization, as the
    extractor's ``padding="max_length"`` does. The level gain is applied to the samples before the
    normalization; samples may exceed 1 after it.
    """

    def __init__(self, settings: WaveformSettings) -> None:
        self.settings = settings
        self.sample_rate = settings.sample_rate
        self.hop = 1
        limit = settings.max_samples()
        self.max_samples = limit if settings.beyond_max == "truncate" else None
        self._window_samples = limit
        self._check = _BandCheck(settings.sample_rate) if wants_check(settings) else None

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
        if not len(samples):
            raise AudioError("the sound has no samples. Check how it was recorded or cut.")
        narrow = self._check is not None and self._check(samples)
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
        return Features(parts, lengths, truncated, narrow)


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


class _BandCheck:
    """Detects sound without energy above the telephone band."""

    def __init__(self, sample_rate: int) -> None:
        length = 2 * round(_CHECK_WINDOW_S * sample_rate / 2)
        highest = sample_rate / 2
        filters = slaney_filters(sample_rate, length, _CHECK_BANDS, 0.0, highest)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        self._spectrogram = LogMelSpectrogram(SpectrogramSettings(window, length, length, filters))
        edges = slaney_edges(_CHECK_BANDS, 0.0, highest)
        self._high_bands = first_band_above(TELEPHONE_HZ, edges)

    def __call__(self, samples: Floats) -> bool:
        frames = self._spectrogram(samples)
        return len(frames) > 0 and is_narrow(frames * np.float32(10 / np.log(10)), self._high_bands)
