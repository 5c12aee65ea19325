"""Admission control under simulated load: Poisson arrivals, requests of equal length, no clock."""

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from emo_runtime import OverloadedError
from emo_serving.admission import Admission, Client
from emo_serving.errors import UnavailableError

WORKERS = 2


class Simulation:
    """Requests answered in order of arrival; the unit of time is the length of a request."""

    def __init__(self, max_waiting: int = 32) -> None:
        self._random = np.random.default_rng(0)
        self._now = 0.0
        self.admission = Admission(WORKERS, max_waiting, 0, clock=lambda: self._now)
        self._free_at = [0.0] * WORKERS
        self._running: list[tuple[float, ExitStack]] = []

    def waits(self, load: float, requests: int) -> Iterator[float | None]:
        """Yield how long each request waited for a thread; None if it was refused."""
        for pause in self._random.exponential(1 / (load * WORKERS), requests):
            self._now += pause
            while self._running and self._running[0][0] <= self._now:
                self._running.pop(0)[1].close()
            with ExitStack() as stack:
                try:
                    stack.enter_context(self.admission.call())
                except OverloadedError:
                    yield None
                    continue
                thread = int(np.argmin(self._free_at))
                begins = max(self._now, self._free_at[thread])
                self._free_at[thread] = begins + 1
                self._running.append((begins + 1, stack.pop_all()))
                yield begins - self._now


def test_below_capacity_nothing_is_refused():
    assert None not in list(Simulation().waits(0.7, 100_000))


@pytest.mark.parametrize("load", [1.5, 3.0, 10.0])
def test_beyond_capacity_accepted_requests_do_not_wait_for_the_whole_queue(load):
    found = list(Simulation().waits(load, 20_000))
    accepted = [wait for wait in found if wait is not None]
    assert len(accepted) >= 0.95 * 20_000 / load, "a thread was idle"
    waited_long = [wait > 1 for wait in accepted]
    assert not any(waited_long[250:]), "only while the queue fills for the first time"


def test_a_burst_beyond_the_queue_is_no_overload():
    simulation = Simulation()
    found = list(simulation.waits(50.0, 38))
    assert found.count(None) <= 5
    assert None not in list(simulation.waits(0.7, 1000))


def test_after_overload_nothing_is_refused_at_low_load():
    simulation = Simulation()
    assert None in list(simulation.waits(3.0, 1000))
    after = list(simulation.waits(0.7, 20_000))
    assert None not in after[500:]


def test_overload_is_reported_until_no_request_was_refused_for_a_while():
    simulation = Simulation()
    list(simulation.waits(0.7, 1000))
    assert not simulation.admission.overloaded
    list(simulation.waits(3.0, 1000))
    assert simulation.admission.overloaded
    simulation._now += 6  # no requests at all: a balancer sends them elsewhere
    assert not simulation.admission.overloaded


def test_a_client_has_its_own_limits():
    admission = Admission(2, 100, 100)
    one, other = Client("one", max_calls=2, max_streams=1), Client("other", max_calls=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.call(one))
        with pytest.raises(OverloadedError, match="2 requests"):
            admission.check(one)
        stack.enter_context(admission.call(other))
        stack.enter_context(admission.stream(one))
        with pytest.raises(OverloadedError, match="1 live calls"), admission.stream(one):
            pass
        stack.enter_context(admission.stream(other))
    with admission.call(one), admission.stream(one):
        pass
    assert admission.idle
    assert not admission.counts._clients, "clients that are gone take no memory"  # type: ignore[attr-defined]
    assert admission.refused["client"] == 2


def test_live_calls_have_a_limit_and_none_begins_while_draining():
    admission = Admission(2, 0, 1)
    with admission.stream():
        with pytest.raises(OverloadedError), admission.stream():
            pass
        admission.draining = True
        with pytest.raises(UnavailableError), admission.stream():
            pass
    assert admission.idle


def test_buffered_bodies_have_a_limit_in_all_and_for_each_client():
    admission = Admission(2, 0, 0, max_buffered_bytes=100)
    with ExitStack() as stack:
        for name in "abcd":
            stack.enter_context(admission.buffer(Client(name)))(24)
        with admission.buffer(Client("a")) as reserve, pytest.raises(OverloadedError):
            reserve(2)  # more than a quarter for one client
        with admission.buffer(Client("e")) as reserve, pytest.raises(OverloadedError):
            reserve(5)
        assert admission.buffered_bytes == 96
    assert admission.buffered_bytes == 0
    assert not admission.counts._clients  # type: ignore[attr-defined]
