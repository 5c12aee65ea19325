"""A thread pool with a bounded queue: calls beyond its capacity are rejected at once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from emo_runtime.errors import ClosedError, OverloadedError

Result = TypeVar("Result")


class BoundedExecutor:
    """Runs at most ``workers`` calls at a time and queues at most ``max_waiting`` more.

    Threads are started on demand.
    """

    def __init__(self, workers: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="emo")
        self._capacity = threading.Semaphore(workers + max_waiting)
        self._limits = f"{workers} running and {max_waiting} waiting"

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """Schedule ``call`` and return its future.

        Raises:
            OverloadedError: The queue is full.
            ClosedError: The executor was closed.
        """
        if not self._capacity.acquire(blocking=False):
            raise OverloadedError(
                f"the limit of {self._limits} calls is reached. Try again later, or raise "
                "max_waiting."
            )
        try:
            future = self._pool.submit(call)
        except RuntimeError:
            self._capacity.release()
            raise ClosedError("this recognizer was closed. Open another one.") from None
        future.add_done_callback(lambda _: self._capacity.release())
        return future

    def close(self) -> None:
        """Reject new calls and cancel queued ones."""
        self._pool.shutdown(wait=False, cancel_futures=True)
