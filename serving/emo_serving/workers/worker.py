"""One worker process: a server that accepts from the shared socket and obeys the supervisor."""

import asyncio
import contextlib
import enum
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from prometheus_client import values

from emo_runtime import EmoError, EmotionRecognizer
from emo_serving.request_log import writing_log
from emo_serving.server import LAST_S, SETTLE_S, Server, exclude_from_collection
from emo_serving.service import Service, Worker
from emo_serving.settings import Settings
from emo_serving.tls import Tls
from emo_serving.tracing import exporting_traces
from emo_serving.workers.acceptor import Acceptor
from emo_serving.workers.peers import SocketPeers
from emo_serving.workers.shared import SharedCounts, SharedMemory

# A worker that gets SIGTERM itself waits for the supervisor's command: the signal may have gone to
# all processes of the service, and then connections are still accepted for a moment.
_OWN_SIGNAL_S = 1.0


class Command(bytes, enum.Enum):
    """Messages on the control socket."""

    READY = b"r"  # of the worker; the others are of the supervisor
    LEAVE = b"l"
    STOP = b"s"
    QUIT = b"q"


@dataclass(frozen=True)
class WorkerStart:
    """All that a worker inherits from the supervisor."""

    settings: Settings
    recognizers: tuple[EmotionRecognizer, ...]
    memory: SharedMemory
    folder: Path
    slot: int
    listening: socket.socket
    control: socket.socket
    tls: Tls | None
    audiosocket: socket.socket | None
    grpc: tuple[str, int] | None


def run_worker(start: WorkerStart) -> NoReturn:
    """Run a worker in a forked process, and end the process."""
    code = 1
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _run(start)
        code = 0
    except EmoError as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
    except BaseException:  # noqa: BLE001  (the parent's code must not go on in this process)
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _run(start: WorkerStart) -> None:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(start.folder)
    # Files named by the slot instead of the process: a replaced worker goes on counting in them.
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: start.slot
    )
    counts = SharedCounts(start.memory, start.slot)
    peers = SocketPeers(start.folder, start.slot)

    # The service opens the bundles in the order of the settings, as the supervisor has done.
    recognizers = iter(start.recognizers)

    def opened(*_: object, on_answer: Callable[[Any], object], **__: object) -> EmotionRecognizer:
        recognizer = next(recognizers)
        recognizer.after_fork(on_answer=on_answer)
        return recognizer

    with contextlib.ExitStack() as stack:
        if start.settings.access_log:
            stack.enter_context(writing_log())
        if start.settings.otel:
            stack.enter_context(exporting_traces())
        service = Service(start.settings, opened, worker=Worker(counts, start.folder, peers))
        WorkerServer(service, counts, peers, start).run([start.listening])


class WorkerServer(Server):
    """A server among several workers.

    It leaves, so that another worker can replace it: connections are accepted by the others, every
    response closes its connection, and live calls have ``drain_s``.
    """

    def __init__(
        self, service: Service, counts: SharedCounts, peers: SocketPeers, start: WorkerStart
    ) -> None:
        super().__init__(service, self._report_ready, start.tls, grpc=start.grpc)
        self._counts = counts
        self._calls = service.calls
        self._peers = peers
        self._control = start.control
        self._folder = start.folder
        self._is_orphan = False
        self._for_audiosocket = start.audiosocket
        self._acceptors: list[Acceptor] = []
        self._sockets: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Leave after SIGTERM to this process alone; SIGINT of a terminal is the supervisor's."""
        loop = self._loop
        if sig == signal.SIGTERM and loop is not None:
            loop.call_soon_threadsafe(loop.call_later, _OWN_SIGNAL_S, self._leave)

    async def on_tick(self, counter: int) -> bool:
        """Show that the event loop runs."""
        self._counts.beat()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as uvicorn does; without a supervisor, also remove the shared files."""
        await super().shutdown(sockets)
        if self._is_orphan:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _listen(self, sockets: list[socket.socket]) -> None:
        self._loop = asyncio.get_running_loop()
        await super()._listen([])
        self._peer_server = await self._peers.listen(self._calls)
        self._sockets = sockets
        self._acceptors = [
            Acceptor(each, self._counts, self.make_protocol, self.config.ssl) for each in sockets
        ]
        if self._for_audiosocket is not None:
            make_protocol = self._audiosocket_server.make_protocol
            acceptor = Acceptor(self._for_audiosocket, self._counts, make_protocol, None)
            self._acceptors.append(acceptor)
        self._counts.set_accepting(True)
        self._control.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._on_command)

    def _report_ready(self) -> None:
        exclude_from_collection()
        with contextlib.suppress(OSError):  # the supervisor is gone, which _on_command handles
            self._control.send(Command.READY)

    def _on_command(self) -> None:
        try:
            commands = self._control.recv(64)
        except OSError:
            commands = b""
        if not commands:  # the supervisor has ended
            self._is_orphan = True
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            commands = Command.STOP
        for command in commands:
            match Command(bytes([command])):
                case Command.LEAVE:
                    self._leave()
                case Command.STOP:
                    self._admission.stopping = self._admission.draining = True
                case Command.QUIT:
                    self.should_exit = self.force_exit = True
                case Command.READY:
                    pass

    def _leave(self) -> None:
        """Leave the connections that are to come to the other workers."""
        if self._admission.draining or self._admission.leaving:
            return
        self._admission.leaving = True
        self._accepting = False
        self._stop_acceptors()
        if self._grpc is not None:
            self._grpc.stop_listening(self._settings.drain_s + LAST_S)
        for each in self._sockets:
            each.close()
        # A connection that was accepted a moment ago may still become a live call.
        settle_s = SETTLE_S if self.server_state.connections else 0
        asyncio.get_running_loop().call_later(settle_s, self._drain)

    def _drain(self) -> None:
        self._admission.draining = True

    async def _stop_listening(self) -> None:
        self._stop_acceptors()
        self._listening = self._sockets
        await super()._stop_listening()

    def _stop_acceptors(self) -> None:
        self._counts.set_accepting(False)
        for acceptor in self._acceptors:
            acceptor.stop()
        if self._for_audiosocket is not None:
            self._for_audiosocket.close()
