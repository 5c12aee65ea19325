"""Who may come in: a bounded number of calls and of live streams, and none that outlast the end."""

import contextlib
from collections.abc import Iterator

from emo_runtime import OverloadedError
from emo_serving.errors import UnavailableError


class Gate:
    """Counts what is in progress. Belongs to one event loop, which is all that guards it."""

    def __init__(self, max_calls: int, max_streams: int) -> None:
        self.max_calls = max_calls
        self.max_streams = max_streams
        self.calls = 0
        self.streams = 0
        self.draining = False
        self.closing = False

    @property
    def idle(self) -> bool:
        """Nothing is in progress."""
        return not self.calls and not self.streams

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """One request, from its first byte to its answer. Raises OverloadedError."""
        if self.calls >= self.max_calls:
            raise OverloadedError(
                f"{self.calls} calls are in progress, which is all there may be: try again later, "
                "or add servers."
            )
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

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
