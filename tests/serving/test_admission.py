"""The gate under simulated load: Poisson arrivals, calls of equal length, time in such lengths."""

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from emo_runtime import OverloadedError
from emo_serving.admission import Gate

WORKERS = 2


class Simulation:
    """Calls through one gate, answered first come, first served."""

    def __init__(self, max_waiting: int = 32) -> None:
        self.gate = Gate(WORKERS, max_waiting, 0)
        self._random = np.random.default_rng(0)
        self._now = 0.0
        self._free_at = [0.0] * WORKERS
        self._running: list[tuple[float, ExitStack]] = []

    def waits(self, load: float, calls: int) -> Iterator[float | None]:
        """How long each call waited for a thread; None where it was refused."""
        for pause in self._random.exponential(1 / (load * WORKERS), calls):
            self._now += pause
            while self._running and self._running[0][0] <= self._now:
                self._running.pop(0)[1].close()
            with ExitStack() as stack:
                try:
                    stack.enter_context(self.gate.call())
                    stack.enter_context(self.gate.turn())
                except OverloadedError:
                    yield None
                    continue
                thread = int(np.argmin(self._free_at))
                begins = max(self._now, self._free_at[thread])
                self._free_at[thread] = begins + 1
                self._running.append((begins + 1, stack.pop_all()))
                yield begins - self._now


def test_below_capacity_nobody_is_refused():
    assert None not in list(Simulation().waits(0.7, 100_000))


@pytest.mark.parametrize("load", [1.5, 3.0, 10.0])
def test_beyond_capacity_the_accepted_do_not_wait_out_the_queue(load):
    found = list(Simulation().waits(load, 20_000))
    accepted = [wait for wait in found if wait is not None]
    assert len(accepted) >= 0.95 * 20_000 / load, "a thread was idle"
    waited_long = [wait > 1 for wait in accepted]
    assert not any(waited_long[250:]), "but while the queue filled for the first time"


def test_a_burst_that_overflows_the_queue_is_no_overload():
    simulation = Simulation()
    found = list(simulation.waits(50.0, 38))
    assert found.count(None) <= 5
    assert None not in list(simulation.waits(0.7, 1000))


def test_once_less_comes_nobody_is_refused_again():
    simulation = Simulation()
    assert None in list(simulation.waits(3.0, 1000))
    after = list(simulation.waits(0.7, 20_000))
    assert None not in after[500:]


def test_uploads_that_take_their_time_do_not_count_as_a_queue():
    gate = Gate(WORKERS, 3, 0)
    with ExitStack() as uploads:
        for _ in range(5):
            uploads.enter_context(gate.call())
        for _ in range(10):
            with pytest.raises(OverloadedError), gate.call():
                pass
    with ExitStack() as uploads:
        for _ in range(5):
            uploads.enter_context(gate.call())
        for _ in range(2 * WORKERS):
            uploads.enter_context(gate.turn())
        with pytest.raises(OverloadedError), gate.turn():
            pass
    with gate.call(), gate.turn():
        pass
    assert gate.idle
