"""A bounded pool of threads: what does not fit is refused at once rather than left to wait."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from emo_runtime.errors import ClosedError, OverloadedError

Result = TypeVar("Result")


class BoundedExecutor:
    """``workers`` calls at once, up to ``max_waiting`` more in a queue. Threads start on demand."""

    def __init__(self, workers: int, max_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="emo")
        self._room = threading.Semaphore(workers + max_waiting)
        self._limit = f"{workers} at work and {max_waiting} waiting"

    def submit(self, call: Callable[[], Result]) -> Future[Result]:
        """The future of ``call``. Raises OverloadedError, and ClosedError after ``close()``."""
        if not self._room.acquire(blocking=False):
            raise OverloadedError(
                f"{self._limit} are all there may be: try again later, or raise max_waiting."
            )
        try:
            future = self._pool.submit(call)
        except RuntimeError:
            self._room.release()
            raise ClosedError("this recognizer was closed: open another one.") from None
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self) -> None:
        """Refuse new calls and drop those that have not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
