"""Base of the front ends that compute frames: streams give the same bits as whole utterances.

Both compute the same blocks of frames from the same samples. Everything that depends on the whole
utterance (the padding after its end, level, peak, mean, variance) is applied when features are
requested.
"""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import check_finite, check_not_empty
from emo_runtime.audio.features import Features
from emo_runtime.audio.level import LevelMeter, gain_db
from emo_runtime.audio.row_buffer import RowBuffer
from emo_runtime.audio.spectrogram import BLOCK_FRAMES
from emo_runtime.bundle.front_ends import FrontEndBase

Floats = NDArray[np.float32]


class FrameFrontEnd(ABC):
    """Base class of front ends that compute features from equally spaced frames.

    Attributes:
        sample_rate: Sample rate of the input in Hz.
        hop: Samples for each time step of the features.
        hop_length: Samples from one frame to the next.
        frame_length: Samples of one frame.
        bands: Values of one frame.
        margin: Samples of padding before the first sample, and after the last one.
        edges: Content of the margins: zeros, or the sound mirrored at its first and last sample.
        min_samples: Shorter sound is padded with zeros at its end.
        min_frames: Frames of the shortest sound.
        max_samples: Samples beyond this number are dropped; None: all are used.
        max_window: Most samples that a stream with ``window_s`` keeps; None: no limit.
    """

    def __init__(
        self,
        settings: FrontEndBase,
        *,
        frame_length: int,
        hop_length: int,
        bands: int,
        margin: int = 0,
        edges: Literal["zeros", "mirror"] = "zeros",
        min_samples: int = 1,
        cut_samples: bool = True,
    ) -> None:
        self.level = settings.level
        self.sample_rate = settings.sample_rate
        self.hop_length = hop_length
        self.frame_length = frame_length
        self.bands = bands
        self.margin = margin
        self.edges = edges
        self.min_samples = min_samples
        self.min_frames = 1 + (min_samples + 2 * margin - frame_length) // hop_length
        self.max_window = settings.max_samples() if settings.beyond_max == "truncate" else None
        self.max_samples = self.max_window if cut_samples else None

    @abstractmethod
    def log_frames(self, signal: Floats) -> Floats:
        """Logarithms of the mel power of all whole frames, [frames, bands], of a signal [time].

        Frames are computed in blocks of ``BLOCK_FRAMES``, so that a part of a signal that starts
        at a block gives the same bits as the whole signal.
        """

    @abstractmethod
    def assemble(self, frames: Floats, length: int, gain: float, *, truncated: bool) -> Features:
        """Features of an utterance.

        Args:
            frames: All of ``log_frames``; not changed.
            length: Number of samples.
            gain: Level gain in dB.
            truncated: True if samples beyond ``max_samples`` were dropped.
        """

    def whole(self, samples: Floats) -> Features:
        """Features of a whole utterance, samples [time]. Raises AudioError."""
        check_finite(samples)
        kept = samples[: self.max_samples]
        meter = LevelMeter()
        if self.level is not None:
            meter.feed(kept)
        frames = self.log_frames(self.signal(kept))
        gain = gain_db(self.level, meter.rms())
        return self.assemble(frames, len(kept), gain, truncated=len(kept) < len(samples))

    def stream(self, window_s: float | None = None) -> "FrameStream":
        """A stream of one utterance; with ``window_s`` only the last ``window_s`` seconds count."""
        return FrameStream(self, window_s)

    def signal(self, samples: Floats) -> Floats:
        """Samples with their padding and margins. Raises AudioError if there are none."""
        check_not_empty(samples)
        padded = _extended(samples, self.padding(len(samples)))
        return np.concatenate([self.lead(padded), padded, self.trail(padded)])

    def padding(self, length: int) -> int:
        """Number of zeros that follow ``length`` samples."""
        return max(0, self.min_samples - length)

    def lead(self, samples: Floats) -> Floats:
        """The margin before the first of the samples, of which ``margin`` + 1 are needed."""
        if self.edges == "zeros":
            return np.zeros(self.margin, np.float32)
        return samples[self.margin : 0 : -1]

    def trail(self, samples: Floats) -> Floats:
        """The margin after the last of the samples, of which ``margin`` + 1 are needed."""
        if self.edges == "zeros":
            return np.zeros(self.margin, np.float32)
        return samples[::-1][1 : self.margin + 1]


class FrameStream:
    """Stream of one utterance; computes each block of frames as soon as it is complete."""

    def __init__(self, front_end: FrameFrontEnd, window_s: float | None) -> None:
        self._front_end = front_end
        self._limit, keep, window = front_end.max_samples, None, None
        if window_s is not None:
            window = max(1, round(window_s * front_end.sample_rate))
            window = min(window, front_end.max_window or window)
            keep = max(front_end.min_frames, round(window / front_end.hop_length))
            self._limit = None
        self._window, self._keep = window, keep
        self._meter = LevelMeter(window)
        self._received = self._used = 0
        # The first samples, until there are enough for the margin before them.
        self._opening: Floats | None = np.empty(0, np.float32)
        self._frames = RowBuffer((front_end.bands,), keep)
        # Samples of the incomplete block.
        self._advance = BLOCK_FRAMES * front_end.hop_length
        overlap = max(0, front_end.frame_length - front_end.hop_length)
        self._buffer = np.empty(self._advance + overlap, np.float32)
        self._filled = 0

    def feed(self, samples: Floats) -> None:
        """Take samples [time]. Raises AudioError, and changes nothing, if one is not finite."""
        check_finite(samples)
        self._received += len(samples)
        if self._limit is not None:
            samples = samples[: self._limit - self._used]
        if not len(samples):
            return
        self._used += len(samples)
        if self._front_end.level is not None:
            self._meter.feed(samples)
        if self._opening is not None:
            samples = np.concatenate([self._opening, samples])
            if len(samples) <= self._front_end.margin:
                self._opening = samples
                return
            self._opening = None
            self._push(self._front_end.lead(samples))
        self._push(samples)

    def features(self) -> Features:
        """Return features of the sound so far, as if it ended now; later results do not change.

        Equals ``FrameFrontEnd.whole`` of all samples so far. Raises AudioError where there are
        none.
        """
        front_end = self._front_end
        if self._opening is not None:
            rest = front_end.signal(self._opening)
        else:
            waiting = _extended(self._buffer[: self._filled], front_end.padding(self._used))
            rest = np.concatenate([waiting, front_end.trail(waiting)])
        frames = np.concatenate([self._frames.rows, front_end.log_frames(rest)])
        length = self._used
        if self._window is not None and self._keep is not None and length > self._window:
            frames, length = frames[-self._keep :], self._window
        gain = gain_db(front_end.level, self._meter.rms())
        truncated = self._limit is not None and self._received > self._limit
        return front_end.assemble(frames, length, gain, truncated=truncated)

    def _push(self, samples: Floats) -> None:
        while len(samples):
            taken = samples[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == len(self._buffer):
                self._frames.append(self._front_end.log_frames(self._buffer))
                self._filled -= self._advance
                self._buffer[: self._filled] = self._buffer[self._advance :].copy()


def _extended(samples: Floats, zeros: int) -> Floats:
    return np.concatenate([samples, np.zeros(zeros, np.float32)]) if zeros else samples
