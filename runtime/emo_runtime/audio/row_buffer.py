"""Append-only array that can keep only its last rows."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class RowBuffer:
    """Rows of float32, [rows, *shape]; with ``keep``, only the last ``keep`` rows."""

    def __init__(self, shape: tuple[int, ...] = (), keep: int | None = None) -> None:
        self._rows = np.empty((0, *shape), np.float32)
        self._start = self._end = 0
        self._keep = keep

    @property
    def rows(self) -> Floats:
        """A view of the rows, valid until the next ``append``."""
        return self._rows[self._start : self._end]

    def append(self, rows: Floats) -> None:
        """Add rows [n, *shape] at the end."""
        if self._end + len(rows) > len(self._rows):
            self._make_room(len(rows))
        self._rows[self._end : self._end + len(rows)] = rows
        self._end += len(rows)
        if self._keep is not None:
            self._start = max(self._start, self._end - self._keep)

    def _make_room(self, count: int) -> None:
        held = self.rows
        needed = len(held) + count
        # Moved in place only where at least half of the array becomes free: the cost is amortized.
        if 2 * needed > len(self._rows):
            larger = np.empty((2 * needed, *self._rows.shape[1:]), np.float32)
            larger[: len(held)] = held
            self._rows = larger
        else:
            self._rows[: len(held)] = held
        self._start, self._end = 0, len(held)
