"""The application under uvicorn, which ends without losing an answer."""

import asyncio
import contextlib
import gc
import logging
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from emo_serving.app import create_app
from emo_serving.service import Service
from emo_serving.settings import Settings

_BACKLOG = 2048
_LAST_S = 5
# From when nobody new comes in: who is connected has so long to send a request, or to hang up.
_SETTLE_S = 2.0
# Longer than load balancers keep theirs (60 s is usual), or they send on one that just closed.
_KEEP_ALIVE_S = 75


def listen(host: str, port: int, stuck_s: float) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError.

    A connection whose other side takes nothing for ``stuck_s`` is dropped by the system, with
    what was still to be sent (Linux).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stuck_s * 1e3))
    return listening


def serve(
    settings: Settings, listening: socket.socket, on_ready: Callable[[], object] = lambda: None
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends at once. ``told`` when it is ready.

    Raises EmoError where the bundle can't be opened.
    """

    def ready() -> None:
        # What is there by now stays: the garbage collector would look through all of it every few
        # thousand calls, and nobody is answered meanwhile (30 to 40 ms).
        gc.collect()
        gc.freeze()
        on_ready()

    Server(Service(settings), ready).run([listening])


class Server(uvicorn.Server):
    """Told to stop, it first lets calls end, and only then closes connections.

    While ``grace_s`` runs it goes on taking calls (a load balancer needs a moment to hear that
    /readyz says no), and every answer asks that its connection be not used again. Then nobody new
    comes in, and what is running has until ``drain_s``.
    """

    def __init__(self, service: Service, on_ready: Callable[[], object] = lambda: None) -> None:
        settings = service.settings
        super().__init__(
            uvicorn.Config(
                create_app(settings, lambda _: service),
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                ws_max_size=settings.max_message_bytes,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_LAST_S,
                backlog=_BACKLOG,
            )
        )
        self._gate = service.gate
        self._settings = settings
        self._on_ready = on_ready
        self._listening: list[socket.socket] = []
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then tell."""
        await super().startup(sockets)
        self._listening = list(sockets or [])
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the end, the second hurries it."""
        if self._gate.draining:
            super().handle_exit(sig, frame)
        self._gate.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s: whether it is time to go."""
        return await super().on_tick(counter) or (self._gate.draining and await self._is_drained())

    async def _is_drained(self) -> bool:
        now = time.monotonic()
        if self._stop_at is None:
            self._stop_at = now
        since = now - self._stop_at
        if since >= self._settings.drain_s:
            self._gate.closing = True  # live calls get their final answer, and end
        if since < self._settings.grace_s:
            return False
        if self._listening:
            await self._stop_listening()
        all_said = since >= self._settings.grace_s + _SETTLE_S or not self.server_state.connections
        return (all_said and self._gate.idle) or since >= self._settings.drain_s + _LAST_S

    async def _stop_listening(self) -> None:
        """Nobody new may connect; who has connected, and was not let in yet, is let in.

        The system keeps such connections in a queue, and resets them when it is closed.
        """
        queues: list[socket.socket] = []
        with contextlib.suppress(OSError):  # without a free descriptor they can't be let in anyway
            queues += [listening.dup() for listening in self._listening]
        for server in self.servers:
            server.close()
        while self._listening:
            self._listening.pop().close()
        waiting = []
        for queue in queues:
            with queue:
                queue.setblocking(False)
                waiting += _accepted(queue)
        loop = asyncio.get_running_loop()
        # Those that uvloop let in a moment ago are among the connections after this, too.
        await asyncio.gather(
            *(loop.connect_accepted_socket(self._protocol, connection) for connection in waiting),
            return_exceptions=True,
        )
        await asyncio.sleep(0)

    def _protocol(self) -> asyncio.Protocol:
        """What uvicorn makes for each connection."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _accepted(queue: socket.socket) -> list[socket.socket]:
    """The connections that wait in a queue, as far as there are descriptors for them."""
    accepted = []
    with contextlib.suppress(OSError):  # BlockingIOError: none is left
        while True:
            with contextlib.suppress(ConnectionAbortedError):  # it has gone again
                accepted.append(queue.accept()[0])
    return accepted
