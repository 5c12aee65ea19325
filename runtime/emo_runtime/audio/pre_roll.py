"""Ring buffer of the last samples before an utterance begins."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class PreRoll:
    """Keeps the last ``limit`` samples."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: deque[Floats] = deque()
        self._count = 0

    def feed(self, samples: Floats) -> None:
        """Add samples [time]; the oldest beyond the limit are dropped."""
        self._blocks.append(samples)
        self._count += len(samples)
        while self._blocks and self._count - len(self._blocks[0]) >= self._limit:
            self._count -= len(self._blocks.popleft())

    def take(self) -> Floats:
        """Return the last samples [time], and empty the buffer."""
        kept = np.concatenate([np.empty(0, np.float32), *self._blocks])
        self._blocks.clear()
        self._count = 0
        return kept[max(0, len(kept) - self._limit) :]
