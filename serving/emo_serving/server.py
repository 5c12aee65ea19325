"""The application under uvicorn, which ends without losing an answer."""

import logging
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from emo_serving.app import create_app
from emo_serving.gate import Gate
from emo_serving.service import Service
from emo_serving.settings import Settings

_BACKLOG = 2048
_LAST_S = 5.0


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
    service = Service(settings)
    config = uvicorn.Config(
        create_app(settings, lambda _: service),
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=int(_LAST_S),
        backlog=_BACKLOG,
    )
    _Server(config, service.gate, settings, told).run([listening])


class _Server(uvicorn.Server):
    """Told to stop, it first lets calls end, and only then closes connections.

    While ``grace_s`` runs it goes on taking calls (a load balancer needs a moment to hear that
    /readyz says no), and every answer asks that its connection be not used again.
    """

    def __init__(
        self, config: uvicorn.Config, gate: Gate, settings: Settings, told: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._gate = gate
        self._settings = settings
        self._told = told
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, then tell."""
        await super().startup(sockets)
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
        if since >= self._settings.drain_s + _LAST_S:
            return True
        return since >= self._settings.grace_s and self._gate.streams == 0
