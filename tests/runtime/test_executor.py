"""The thread pool with a bounded queue."""

import threading

import pytest

from emo_runtime import ClosedError, OverloadedError
from emo_runtime.executor import BoundedExecutor


@pytest.fixture
def go():
    event = threading.Event()
    yield event
    event.set()


def test_calls_beyond_its_capacity_are_refused_at_once(go):
    executor = BoundedExecutor(workers=2, max_waiting=1)
    accepted = [executor.submit(lambda: go.wait(300)) for _ in range(3)]
    with pytest.raises(OverloadedError, match="2 running and 1 waiting"):
        executor.submit(lambda: None)
    go.set()
    assert [future.result(300) for future in accepted] == [True] * 3
    # Every place is free again, also that of a call that failed.
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            executor.submit(lambda: 1 / 0).result(300)
    assert executor.submit(lambda: "done").result(300) == "done"
    executor.close()


def test_a_cancelled_call_gives_its_place_back(go):
    executor = BoundedExecutor(workers=1, max_waiting=1)
    running = executor.submit(lambda: go.wait(300))
    for _ in range(5):
        waiting = executor.submit(lambda: pytest.fail("a cancelled call was run"))
        assert waiting.cancel()
    go.set()
    assert running.result(300)
    executor.close()


def test_a_closed_executor_refuses_calls_and_drops_those_that_wait(go):
    executor = BoundedExecutor(workers=1, max_waiting=5)
    running = executor.submit(lambda: go.wait(300))
    waiting = executor.submit(lambda: pytest.fail("a call of a closed executor was run"))
    executor.close()
    assert waiting.cancelled()
    for _ in range(10):  # a refused call takes no place
        with pytest.raises(ClosedError):
            executor.submit(lambda: None)
    go.set()
    assert running.result(300)
