"""Counts in shared memory, compared with those of one process."""

import fcntl
import os
import signal
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime import OverloadedError
from emo_serving.admission import Admission, Client
from emo_serving.counts import KINDS, LocalCounts
from emo_serving.workers.shared import SharedCounts, SharedMemory
from helpers.processes import wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
CLIENTS = ("crm", "10.0.0.1", "", "ñandú")


@pytest.fixture
def memory():
    made = SharedMemory(2, 64)
    yield made
    made.close()


def forked(function):
    """Run a function in a forked process; return its process id."""
    child = os.fork()
    if not child:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return child


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(KINDS),
            st.sampled_from(CLIENTS),
            st.integers(-5, 9),
        ),
        max_size=60,
    )
)
def test_totals_are_those_of_one_process(changes):
    memory = SharedMemory(2, 64)
    every = [SharedCounts(memory, slot) for slot in range(memory.slots)]
    expected, own = LocalCounts(), [LocalCounts() for _ in every]
    for slot, kind, client, amount in changes:
        amount = max(amount, -own[slot].of_client(kind, client))  # noqa: PLW2901
        for counts in (every[slot], expected, own[slot]):
            counts.add(kind, client, amount)
    for kind in KINDS:
        assert {counts.total(kind) for counts in every} == {expected.total(kind)}
        assert [counts.own(kind) for counts in every] == [each.own(kind) for each in own]
        for client in CLIENTS:
            found = {counts.of_client(kind, client) for counts in every}
            assert found == {expected.of_client(kind, client)}
    memory.close()


def test_entries_of_clients_that_are_gone_are_used_again(memory):
    counts = SharedCounts(memory, 0)
    for number in range(20 * memory.layout.entries):
        counts.add("connections", f"client {number}", 1)
        assert counts.of_client("connections", f"client {number}") == 1
        counts.add("connections", f"client {number}", -1)
    assert counts.total("connections") == 0


def test_what_a_dead_worker_had_in_progress_is_cleared_and_its_refusals_are_not(memory):
    dead, other = SharedCounts(memory, 0), SharedCounts(memory, 1)
    for counts in (dead, other):
        counts.add("streams", "crm", 3)
        counts.refuse("streams")
        counts.set_accepting(True)
    memory.clear(0)
    assert (other.total("streams"), other.of_client("streams", "crm")) == (3, 3)
    assert other.refused()["streams"] == 2
    assert memory.accepting() == [1]


def test_limits_hold_exactly_over_processes_that_compete(memory):
    limit, tries = 40, 300

    def compete(slot):
        admission = Admission(1, 0, limit, counts=SharedCounts(memory, slot))
        client = Client("crm", max_streams=limit)
        held = ExitStack()
        for _ in range(tries):
            with suppress(OverloadedError):
                held.enter_context(admission.stream(client))
        os._exit(0)  # without giving back what it holds

    children = [forked(lambda slot=slot: compete(slot)) for slot in range(memory.slots)]
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
    counts = SharedCounts(memory, 0)
    assert counts.total("streams") == counts.of_client("streams", "crm") == limit
    assert counts.refused()["streams"] == memory.slots * tries - limit


def test_a_worker_that_dies_with_the_lock_does_not_block_the_others(memory):
    def die():
        with memory.locked():
            SharedCounts(memory, 0).set_accepting(True)
            signal.pause()

    child = forked(die)
    try:
        wait_until(lambda: memory.accepting() == [0])
        with pytest.raises(BlockingIOError):
            fcntl.lockf(memory._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    fcntl.lockf(memory._file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_overload_is_that_of_all_workers(memory):
    one, other = (Admission(1, 0, 0, counts=SharedCounts(memory, slot)) for slot in (0, 1))
    with one.call():
        for _ in range(20):
            with pytest.raises(OverloadedError):
                one.check()
    assert one.overloaded
    assert other.overloaded
    assert other.refused["calls"] == 20
