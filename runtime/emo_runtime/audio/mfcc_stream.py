"""Mean MFCCs of sound that is still arriving: only new frames are computed.

Equals ``MeanMfcc`` on the whole utterance for every chunking: soxr's stream gives the same samples
as its one-shot call, and frames are computed in the same blocks.
"""

import math

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.mfcc import BLOCK_FRAMES, MeanMfcc

Floats = NDArray[np.float32]

GATHER_S = 0.1


class MfccStream:
    """Collects mono samples at ``sample_rate`` Hz; memory grows by 22 kB a second at most.

    With ``window_s`` only the last so many seconds of frames are kept.
    """

    def __init__(
        self, front_end: MeanMfcc, sample_rate: int, window_s: float | None = None
    ) -> None:
        contract = front_end.contract
        self._front_end = front_end
        self._rates = (sample_rate, contract.sample_rate)
        self._resampler = _resampler(*self._rates)
        self._received = self._resampled = 0
        # Packets are gathered before they are resampled: each call of soxr has a price of its own.
        self._packets = np.empty(round(GATHER_S * sample_rate), np.float32)
        self._gathered = 0
        # Samples that wait for their block to fill; half a window of zeros comes first.
        advance = BLOCK_FRAMES * contract.hop_length
        self._advance = advance
        self._buffer = np.zeros(advance - contract.hop_length + contract.n_fft, np.float32)
        self._filled = contract.n_fft // 2
        self._frames = np.empty((2 * BLOCK_FRAMES, contract.n_mels), np.float32)
        self._count = 0
        self._window = None
        if window_s is not None:
            self._window = max(1, round(window_s * contract.sample_rate / contract.hop_length))

    @property
    def duration_s(self) -> float:
        """Seconds of sound received."""
        return self._received / self._rates[0]

    def feed(self, samples: Floats) -> None:
        """Take mono samples [time]; whole blocks of frames are computed at once."""
        self._received += len(samples)
        if self._gathered + len(samples) > len(self._packets):
            self._pass_on()
        if len(samples) > len(self._packets):
            self._resample(samples)
        else:
            self._packets[self._gathered : self._gathered + len(samples)] = samples
            self._gathered += len(samples)

    def log_mel(self) -> Floats:
        """Log-mel frames [frames, n_mels] of all whole windows so far; changes no later answer."""
        self._pass_on()
        waiting = self._buffer[: self._filled]
        if self._filled < self._front_end.contract.n_fft:
            return self._frames[: self._count]
        return np.concatenate([self._frames[: self._count], self._front_end.log_mel(waiting)])

    def finish(self) -> Floats:
        """Log-mel frames of the whole utterance; nothing may be fed any more."""
        self._pass_on()
        source, target = self._rates
        length = math.ceil(self._received * (target / source))
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            self._take(rest[: length - self._resampled])
        margin = self._front_end.contract.n_fft // 2
        self._take(np.zeros(length - self._resampled + margin, np.float32))
        return self.log_mel()

    def _pass_on(self) -> None:
        if self._gathered:
            samples, self._gathered = self._packets[: self._gathered], 0
            self._resample(samples)

    def _resample(self, samples: Floats) -> None:
        self._take(samples if self._resampler is None else self._resampler.resample_chunk(samples))

    def _take(self, samples: Floats) -> None:
        self._resampled += len(samples)
        while len(samples):
            taken = samples[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == len(self._buffer):
                self._keep(self._front_end.log_mel(self._buffer))
                rest = self._filled - self._advance
                self._buffer[:rest] = self._buffer[self._advance :].copy()
                self._filled = rest

    def _keep(self, frames: Floats) -> None:
        count = self._count + len(frames)
        if self._window is not None and count > self._window:
            dropped = min(self._count, count - self._window)
            self._frames[: self._count - dropped] = self._frames[dropped : self._count].copy()
            self._count -= dropped
            count -= dropped
        if count > len(self._frames):
            larger = np.empty((2 * count, self._frames.shape[1]), np.float32)
            larger[: self._count] = self._frames[: self._count]
            self._frames = larger
        self._frames[self._count : count] = frames
        self._count = count


def _resampler(source: int, target: int):  # type: ignore[no-untyped-def]
    if source == target:
        return None
    import soxr  # noqa: PLC0415  (only where rates differ: start-up counts)

    return soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")
