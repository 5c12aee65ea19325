"""An engine that only sleeps, as long as it is told: what is reported of it must be just that."""

import threading
import time
from typing import Any

from emo_bench.engines.base import Outcome
from emo_bench.workload import Sample


class Sleeper:
    """Sleeps ``delays_ms`` in turn, whoever asks."""

    def __init__(self, delays_ms: list[float], concurrency: int) -> None:
        self.concurrency = concurrency
        self._delays_ms = delays_ms
        self._turn = 0
        self._lock = threading.Lock()

    def answer(self, sample: Sample) -> Outcome:
        """Sleep; the answer is always the same."""
        with self._lock:
            delay_ms = self._delays_ms[self._turn % len(self._delays_ms)]
            self._turn += 1
        time.sleep(delay_ms / 1e3)
        return Outcome("joy", {"joy": 1.0}, len(sample.text.split()), {"sleep": delay_ms})

    def describe(self) -> dict[str, Any]:
        """Nothing runs."""
        return {"delays_ms": self._delays_ms}

    def close(self) -> None:
        """Nothing is held."""


def open_engine(delays_ms: list[float], concurrency: int = 1) -> Sleeper:
    """A sleeper, for ``engines.open_engine``."""
    return Sleeper(delays_ms, concurrency)
