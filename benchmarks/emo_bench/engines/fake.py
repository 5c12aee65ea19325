"""Engine for tests that sleeps for given times, so that reported latencies can be checked."""

import threading
import time
from typing import Any

from emo_bench.engines.base import Outcome
from emo_bench.workload import Sample


class Sleeper:
    """Sleep for ``delays_ms`` in turn, across all threads."""

    def __init__(self, delays_ms: list[float], concurrency: int) -> None:
        self.concurrency = concurrency
        self._delays_ms = delays_ms
        self._turn = 0
        self._lock = threading.Lock()

    def answer(self, sample: Sample) -> Outcome:
        """Sleep, then return a constant answer."""
        with self._lock:
            delay_ms = self._delays_ms[self._turn % len(self._delays_ms)]
            self._turn += 1
        time.sleep(delay_ms / 1e3)
        return Outcome("joy", {"joy": 1.0}, len(sample.text.split()), {"sleep": delay_ms})

    def describe(self) -> dict[str, Any]:
        """Return the delays."""
        return {"delays_ms": self._delays_ms}

    def close(self) -> None:
        """Do nothing."""


def open_engine(delays_ms: list[float], concurrency: int = 1) -> Sleeper:
    """Open a sleeper (for ``emo_bench.engines.registry``)."""
    return Sleeper(delays_ms, concurrency)
