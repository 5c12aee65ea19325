"""Run the application under uvicorn, with a graceful shutdown that loses no answer."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from emo_serving.app import create_app
from emo_serving.audiosocket import AudioSocketServer
from emo_serving.connections import ConnectionLimits, http_protocol, websocket_protocol
from emo_serving.errors import log_unexpected
from emo_serving.request_log import writing_log
from emo_serving.service import Service
from emo_serving.settings import Settings
from emo_serving.tls import Tls
from emo_serving.tracing import exporting_traces

if TYPE_CHECKING:
    from emo_serving.on_grpc.server import GrpcServer

_BACKLOG = 2048
LAST_S = 5
# Time that open connections have after the last accept, to send a request or to close.
SETTLE_S = 2.0
# Longer than the keep-alive of load balancers (60 s is usual), which would otherwise send a request
# on a connection that is just being closed.
_KEEP_ALIVE_S = 75


def listen(host: str, port: int, stuck_s: float) -> socket.socket:
    """Return a listening socket; port 0 takes a free port. Raises OSError.

    On Linux the system drops a connection whose client reads nothing for ``stuck_s`` seconds.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stuck_s * 1e3))
    return listening


@contextlib.contextmanager
def listen_unix(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix domain socket, open to all users of this machine, until the block ends.

    A socket that no process listens on any more is replaced. Raises OSError.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix domain sockets: use --host and --port.")
    with socket.socket(socket.AF_UNIX) as listening:
        if _is_abandoned(path):
            path.unlink()
        try:
            listening.bind(str(path))
        except OSError as error:
            raise OSError(f"{path}: {error.strerror or error}") from None
        try:
            path.chmod(0o666)
            listening.listen(_BACKLOG)
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """True for the socket of a process that has ended."""
    if not path.is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def serve(
    settings: Settings,
    listening: socket.socket,
    on_ready: Callable[[], object] = lambda: None,
    tls: Tls | None = None,
    *,
    audiosocket: socket.socket | None = None,
    grpc: tuple[str, int] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        settings: Options of the server.
        listening: A listening socket.
        on_ready: Called once requests are answered.
        tls: Serve HTTPS with this certificate.
        audiosocket: A listening socket for Asterisk's AudioSocket.
        grpc: Host and port of the gRPC service.

    Raises:
        EmoError: The bundle or the certificate can't be opened.
    """
    if tls is not None:
        tls.check()

    def ready() -> None:
        exclude_from_collection()
        on_ready()

    with contextlib.ExitStack() as stack:
        if settings.access_log:
            stack.enter_context(writing_log())
        if settings.otel:
            stack.enter_context(exporting_traces())
        Server(Service(settings), ready, tls, audiosocket=audiosocket, grpc=grpc).run([listening])


def exclude_from_collection() -> None:
    """Exclude all objects that exist now from garbage collection.

    To look through them would stop the server for 30 to 40 ms every few thousand requests.
    """
    gc.collect()
    gc.freeze()


class Server(uvicorn.Server):
    """uvicorn's server with a graceful shutdown.

    For ``grace_s`` after the signal it still accepts requests, because a load balancer needs a
    moment to see that ``/readyz`` answers 503; every response closes its connection. Then it stops
    listening, and what is running has until ``drain_s``.
    """

    def __init__(
        self,
        service: Service,
        on_ready: Callable[[], object] = lambda: None,
        tls: Tls | None = None,
        *,
        audiosocket: socket.socket | None = None,
        grpc: tuple[str, int] | None = None,
    ) -> None:
        settings = service.settings
        limits = ConnectionLimits(service)
        super().__init__(
            uvicorn.Config(
                create_app(settings, lambda _: service),
                http=http_protocol(limits),  # type: ignore[arg-type]
                ws=websocket_protocol(limits),  # type: ignore[arg-type]
                log_level=logging.CRITICAL,  # its errors are those that clients cause
                access_log=False,
                server_header=False,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=_trusted(settings.trusted_proxies),
                timeout_keep_alive=_KEEP_ALIVE_S,
                ws_max_size=settings.max_message_bytes,
                ws_per_message_deflate=False,
                ssl_certfile=tls.certificate if tls else None,
                ssl_keyfile=tls.key if tls else None,
                timeout_graceful_shutdown=LAST_S,
                backlog=_BACKLOG,
            )
        )
        self._grpc = None if grpc is None else _grpc_server(service, grpc, tls)
        self._audiosocket = audiosocket
        self._audiosocket_server = AudioSocketServer(service, limits)
        self._admission = service.admission
        self._models = service.models
        self._reloading: set[asyncio.Task[None]] = set()
        self._settings = settings
        self._on_ready = on_ready
        self._listening: list[socket.socket] = []
        self._accepting = False
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then call ``on_ready``."""
        await self._listen(list(sockets or []))
        self._accepting = True
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is still open."""
        for task in self._reloading:
            task.cancel()
        if self._grpc is not None:
            await self._grpc.close()
        await self._audiosocket_server.close()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start the graceful shutdown; a second signal ends the server at once."""
        if self._admission.draining:
            super().handle_exit(sig, frame)
        self._admission.stopping = self._admission.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Return True, each 0.1 s, once the server is to stop."""
        return await super().on_tick(counter) or (
            self._admission.draining and await self._is_drained()
        )

    async def _listen(self, sockets: list[socket.socket]) -> None:
        await super().startup(sockets)
        self._listening = sockets
        self._reload_when_changed()
        if self._grpc is not None:
            await self._grpc.start()
        if self._audiosocket is not None:
            await self._audiosocket_server.start(self._audiosocket)

    def _reload_when_changed(self) -> None:
        """Look for changed bundles after SIGHUP, and at intervals if that is wanted."""
        loop = asyncio.get_running_loop()

        def begin() -> None:
            task = loop.create_task(self._models.reload_changed(at_once=True))
            self._reloading.add(task)
            task.add_done_callback(self._reloading.discard)

        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, begin)
        if self._settings.reload_s:
            self._reloading.add(loop.create_task(self._poll()))

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.reload_s)
            try:
                await self._models.reload_changed()
            except Exception as error:  # noqa: BLE001  (such as MemoryError: look again later)
                log_unexpected(error, "reload")

    async def _is_drained(self) -> bool:
        now = time.monotonic()
        if self._stop_at is None:
            self._stop_at = now
        since = now - self._stop_at
        if since >= self._settings.drain_s:
            self._admission.closing = True  # live calls get their final answer, and end
        if since < self._settings.grace_s:
            return False
        if self._accepting:
            self._accepting = False
            self._audiosocket_server.stop_listening()
            if self._grpc is not None:
                self._grpc.stop_listening(self._settings.drain_s + LAST_S)
            await self._stop_listening()
        settled = since >= self._settings.grace_s + SETTLE_S or not self.server_state.connections
        return (settled and self._admission.idle) or since >= self._settings.drain_s + LAST_S

    async def _stop_listening(self) -> None:
        """Stop listening, but accept the connections that wait in the system's queue.

        Closing the listening socket would reset them.
        """
        queues: list[socket.socket] = []
        with contextlib.suppress(OSError):  # without a free descriptor they can't be accepted
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
        await asyncio.gather(
            *(
                loop.connect_accepted_socket(self.make_protocol, connection, ssl=self.config.ssl)
                for connection in waiting
            ),
            return_exceptions=True,
        )
        # Connections that uvloop accepted a moment ago are registered after this step.
        await asyncio.sleep(0)

    def make_protocol(self) -> asyncio.Protocol:
        """Return a protocol as uvicorn makes one for each connection."""
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def _grpc_server(service: Service, address: tuple[str, int], tls: Tls | None) -> "GrpcServer":
    from emo_serving.on_grpc.server import GrpcServer  # noqa: PLC0415  (needs the extra)

    return GrpcServer(service, *address, tls)


def _trusted(proxies: tuple[str, ...]) -> list[str]:
    """Return the proxies as uvicorn wants them: ``"*"`` only alone means all."""
    return ["*"] if "*" in proxies else list(proxies)


def _accepted(queue: socket.socket) -> list[socket.socket]:
    """Accept the connections that wait in a queue, while there are descriptors for them."""
    accepted = []
    with contextlib.suppress(OSError):  # BlockingIOError: none is left
        while True:
            with contextlib.suppress(ConnectionAbortedError):  # closed again meanwhile
                accepted.append(queue.accept()[0])
    return accepted
