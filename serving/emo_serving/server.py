"""The application under uvicorn, which ends without losing an answer."""

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
# From when nobody new comes in: who came in before has so long to send a request.
_SETTLE_S = 0.5


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
    settings: Settings, listening: socket.socket, told: Callable[[], object] = lambda: None
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends at once. ``told`` when it is ready.

    Raises EmoError where the bundle can't be opened.
    """
    Server(Service(settings), told).run([listening])


class Server(uvicorn.Server):
    """Told to stop, it first lets calls end, and only then closes connections.

    While ``grace_s`` runs it goes on taking calls (a load balancer needs a moment to hear that
    /readyz says no), and every answer asks that its connection be not used again. Then nobody new
    comes in, and what is running has until ``drain_s``.
    """

    def __init__(self, service: Service, told: Callable[[], object] = lambda: None) -> None:
        settings = service.settings
        super().__init__(
            uvicorn.Config(
                create_app(settings, lambda _: service),
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                ws_max_size=settings.max_message_bytes,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=_LAST_S,
                backlog=_BACKLOG,
            )
        )
        self._gate = service.gate
        self._settings = settings
        self._told = told
        self._listening: list[socket.socket] = []
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then tell."""
        await super().startup(sockets)
        self._listening = sockets or []
        self._told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the end, the second hurries it."""
        if self._gate.draining:
            super().handle_exit(sig, frame)
        self._gate.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s: whether it is time to go."""
        return await super().on_tick(counter) or (self._gate.draining and self._is_drained())

    def _is_drained(self) -> bool:
        now = time.monotonic()
        if self._stop_at is None:
            self._stop_at = now
        since = now - self._stop_at
        if since >= self._settings.drain_s:
            self._gate.closing = True  # live calls get their final answer, and end
        if since < self._settings.grace_s:
            return False
        self._stop_listening()
        settled = since >= self._settings.grace_s + _SETTLE_S
        return (settled and self._gate.idle) or since >= self._settings.drain_s + _LAST_S

    def _stop_listening(self) -> None:
        for server in self.servers:
            server.close()
        for listening in self._listening:
            listening.close()
