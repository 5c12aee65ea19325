"""Accept connections from a socket that several workers listen on, the least loaded one first.

Every idle worker is woken for a new connection, and the first one takes it. So one worker could get
most of the live calls of a quiet hour. A worker with more load than another one therefore waits for
a moment; if the connection is still there then, it takes it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

from emo_serving.counts import Kind
from emo_serving.workers.shared import SharedCounts

# A live call is a connection too; it takes as much as ten others.
_WEIGHTS: dict[Kind, int] = {"connections": 1, "streams": 9}
_PAUSE_S = 0.005
_AFTER_PAUSE = 4
# Without a free file descriptor, waiting connections stay readable.
_NO_DESCRIPTOR_S = 0.5


class Acceptor:
    """Accepts connections of one listening socket while it runs."""

    def __init__(
        self,
        listening: socket.socket,
        counts: SharedCounts,
        make_protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listening = listening
        self._counts = counts
        self._make_protocol = make_protocol
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._begin()

    def stop(self) -> None:
        """Accept no more connections."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._listening.fileno())

    def _begin(self) -> None:
        self._loop.add_reader(self._listening.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        own, lowest = self._counts.loads(_WEIGHTS)
        if own + len(self._connecting) > lowest:
            self._pause(_PAUSE_S)
        else:
            self._accept()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._timer = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        self._begin()
        for _ in range(_AFTER_PAUSE):
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Accept one connection; False if there is none any more."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError:
            self._pause(_NO_DESCRIPTOR_S)
            return False
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return True

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection, ssl=self._tls)
        except (OSError, asyncio.CancelledError):  # such as a failed TLS handshake
            connection.close()
