"""Level normalization: one gain for a whole utterance."""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from emo_runtime.bundle.front_ends import Level

Floats = NDArray[np.float32]

_BLOCK = 4096


class LevelMeter:
    """Root mean square of samples that arrive in packets of any size.

    Squares are summed in float64 over blocks at fixed positions, and the blocks' sums exactly
    (``math.fsum``): the result has the same bits for every division into packets.

    With ``window``, only about the last ``window`` samples count, in whole blocks.
    """

    def __init__(self, window: int | None = None) -> None:
        blocks = None if window is None else max(1, math.ceil(window / _BLOCK))
        self._sums: deque[float] = deque(maxlen=blocks)
        self._block = np.empty(_BLOCK, np.float32)
        self._filled = 0

    def feed(self, samples: Floats) -> None:
        """Add samples [time]."""
        while len(samples):
            taken = samples[: _BLOCK - self._filled]
            self._block[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == _BLOCK:
                self._sums.append(_sum_of_squares(self._block))
                self._filled = 0

    def rms(self) -> float:
        """Root mean square of the samples so far; 0 if there are none."""
        count = len(self._sums) * _BLOCK + self._filled
        if not count:
            return 0.0
        rest = _sum_of_squares(self._block[: self._filled])
        return math.sqrt(math.fsum([*self._sums, rest]) / count)


def gain_db(level: Level | None, rms: float) -> float:
    """Gain in dB that brings an RMS to the target, at most ``max_gain_db``.

    Loud sound is attenuated without a limit. Silence gets the maximum gain.
    """
    if level is None:
        return 0.0
    if rms <= 0.0:
        return level.max_gain_db
    return min(level.target_dbfs - 20 * math.log10(rms), level.max_gain_db)


def _sum_of_squares(samples: Floats) -> float:
    precise = samples.astype(np.float64)
    return float(np.dot(precise, precise))
