"""Convert packets of sound at any rate to the features of an utterance."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import check_finite
from emo_runtime.audio.features import Features
from emo_runtime.audio.front_end import FrontEnd
from emo_runtime.errors import ClosedError

Floats = NDArray[np.float32]

GATHER_S = 0.1


class PacketStream:
    """Collects mono samples at ``sample_rate`` Hz, resamples them and feeds a front end's stream.

    ``finish()`` equals the front end's ``whole`` of the resampled utterance, bit for bit: soxr's
    stream gives the same samples as its one-shot call.
    """

    def __init__(
        self, front_end: FrontEnd, sample_rate: int, window_s: float | None = None
    ) -> None:
        self._stream = front_end.stream(window_s)
        self._rates = (sample_rate, front_end.sample_rate)
        self._resampler = _resampler(*self._rates)
        self._received = self._resampled = 0
        # Packets are gathered before they are resampled: each call of soxr has a fixed cost.
        self._packets = np.empty(round(GATHER_S * sample_rate), np.float32)
        self._gathered = 0
        self._finished: Features | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of sound received."""
        return self._received / self._rates[0]

    @property
    def has_features(self) -> bool:
        """True if there is enough sound for ``features``: the resampler has a delay."""
        self._pass_on()
        return self._resampled > 0

    def feed(self, samples: Floats) -> None:
        """Take mono samples [time].

        Raises AudioError, and changes nothing, if a sample is not finite; ClosedError after
        ``finish()``.
        """
        if self._finished is not None:
            raise ClosedError("this stream is finished. Make another one for the next utterance.")
        check_finite(samples)
        self._received += len(samples)
        if self._gathered + len(samples) > len(self._packets):
            self._pass_on()
        if len(samples) > len(self._packets):
            self._resample(samples)
        else:
            self._packets[self._gathered : self._gathered + len(samples)] = samples
            self._gathered += len(samples)

    def features(self) -> Features:
        """Return features of the sound so far; later results do not change.

        The last milliseconds, which the resampler still holds, are not included. Raises AudioError
        if there is no sound yet.
        """
        if self._finished is not None:
            return self._finished
        self._pass_on()
        return self._stream.features()

    def finish(self) -> Features:
        """Return features of the whole utterance, and end the stream. Raises AudioError."""
        if self._finished is None:
            self._pass_on()
            if self._received:
                self._flush()
            self._finished = self._stream.features()
        return self._finished

    def _flush(self) -> None:
        source, target = self._rates
        length = math.ceil(self._received * (target / source))
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            self._take(rest[: length - self._resampled])
        self._take(np.zeros(length - self._resampled, np.float32))

    def _pass_on(self) -> None:
        if self._gathered:
            samples, self._gathered = self._packets[: self._gathered], 0
            self._resample(samples)

    def _resample(self, samples: Floats) -> None:
        self._take(samples if self._resampler is None else self._resampler.resample_chunk(samples))

    def _take(self, samples: Floats) -> None:
        self._resampled += len(samples)
        self._stream.feed(samples)


def _resampler(source: int, target: int) -> Any:
    if source == target:
        return None
    import soxr  # noqa: PLC0415  (only if rates differ: start-up time)

    return soxr.ResampleStream(source, target, 1, dtype="float32", quality="HQ")
