"""Timing of the steps of one answer."""

import contextlib
import time
from collections.abc import Iterator

from emo_runtime.result import Timings


class Clock:
    """Measures the steps of one answer; the total counts from the creation of the clock."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._elapsed = 0.0
        self._steps: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Add the duration of the block to ``step``."""
        start = time.perf_counter()
        yield
        name = f"{step}_ms"
        self._steps[name] = self._steps.get(name, 0.0) + (time.perf_counter() - start) * 1e3

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count only the time inside such blocks, for an answer computed in two parts."""
        self._start = time.perf_counter() - self._elapsed
        yield
        self._elapsed = time.perf_counter() - self._start

    def timings(self) -> Timings:
        """Return the steps so far and the total since the clock was created."""
        return Timings(**self._steps, total_ms=(time.perf_counter() - self._start) * 1e3)
