"""Close connections that are silent for too long, with one timer for each connection."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

Received = TypeVar("Received")

_CHECK_S = 0.5


class CloseConnection(Exception):  # noqa: N818  (a control-flow signal, not an error)
    """The connection is to be closed, with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class IdleMonitor:
    """Checks twice a second whether to go on waiting for messages.

    A timeout for each of fifty messages a second would cost more than handling them.

    Args:
        reason_to_close: Called with the seconds since the last message.
    """

    def __init__(self, reason_to_close: Callable[[float], CloseConnection | None]) -> None:
        self._reason_to_close = reason_to_close
        self._reason: CloseConnection | None = None
        self._since: float | None = None
        self._touched = False

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._timer = self._loop.call_later(_CHECK_S, self._check)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def touch(self) -> None:
        """The connection is not silent: count again, from the next check."""
        self._touched = True

    async def wait(self, coming: Awaitable[Received]) -> Received:
        """Return what comes. Raises CloseConnection if there is a reason to close instead."""
        self._since = self._loop.time()
        try:
            return await coming
        except asyncio.CancelledError:
            if self._reason is None or (self._task and self._task.uncancel()):
                raise  # cancelled by something else
            raise self._reason from None
        finally:
            self._since = None

    def _check(self) -> None:
        self._timer = self._loop.call_later(_CHECK_S, self._check)
        if self._since is None or self._task is None or self._reason is not None:
            return
        if self._touched:
            self._touched, self._since = False, self._loop.time()
        self._reason = self._reason_to_close(self._loop.time() - self._since)
        if self._reason is not None:
            self._task.cancel()
