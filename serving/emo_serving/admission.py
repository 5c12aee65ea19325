"""Who may come in: bounded calls and live streams, a short queue under overload, nobody at the end.

A burst may fill the queue, and every call of it is answered. Where more comes than can be answered
the queue would stay full, and everybody would wait out its length: so once it is full and several
were refused, it is held as short as keeps the threads busy, until few have to be refused for that.
"""

import contextlib
from collections.abc import Iterator

from emo_runtime import OverloadedError
from emo_serving.errors import UnavailableError

# The share of refused calls among the latest (about fifty) beyond which there is overload.
_OVERLOAD = 0.1
_WEIGHT = 0.02


class Gate:
    """Counts what is in progress. Belongs to one event loop, which is all that guards it."""

    def __init__(self, workers: int, max_waiting: int, max_streams: int) -> None:
        self.max_calls = workers + max_waiting
        self.max_streams = max_streams
        self.calls = 0
        self.streams = 0
        self.draining = False
        self.closing = False
        self._turns = 0
        # What each thread is at, and its next: no thread waits for a call.
        self._enough_turns = 2 * workers
        self._refused_share = 0.0

    @property
    def idle(self) -> bool:
        """Nothing is in progress."""
        return not self.calls and not self.streams

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """One request, from its first byte to its answer. Raises OverloadedError."""
        if self.calls >= self.max_calls or self._is_queue_long():
            raise self._refusal()
        self._refused_share *= 1 - _WEIGHT
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """A call whose body is here, until it is answered. Raises OverloadedError."""
        if self._is_queue_long():  # by now: others may have sent theirs faster
            raise self._refusal()
        self._turns += 1
        try:
            yield
        finally:
            self._turns -= 1

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """One live call. Raises OverloadedError, and UnavailableError while draining."""
        if self.draining:
            raise UnavailableError("the server is stopping: call another one, or again later.")
        if self.streams >= self.max_streams:
            raise OverloadedError(
                f"{self.streams} live calls are in progress, which is all there may be: try again "
                "later, or add servers."
            )
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    def _is_queue_long(self) -> bool:
        return self._refused_share > _OVERLOAD and self._turns >= self._enough_turns

    def _refusal(self) -> OverloadedError:
        self._refused_share += _WEIGHT * (1 - self._refused_share)
        return OverloadedError(
            f"{self.calls} calls are in progress, and no more would be answered in time: try again "
            "later, or add servers."
        )
