"""The parent of the workers: starts, replaces, restarts and stops them.

The bundle is opened once, before the workers are forked: they share the memory of its weights. The
listening socket is shared as well. With a socket for each worker (SO_REUSEPORT) the system would
distribute connections by a hash, whatever the load, and those that wait for a worker that ends
would be lost.
"""

import contextlib
import gc
import math
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import click
from prometheus_client.multiprocess import mark_process_dead

from emo_runtime import ArgumentError, ClosedError, EmoError, EmotionRecognizer
from emo_runtime.cpu import resolve_threads
from emo_serving.models import Fingerprint, files_of_bundle
from emo_serving.request_log import log_server_event
from emo_serving.server import LAST_S
from emo_serving.service import open_recognizer
from emo_serving.settings import Settings
from emo_serving.tls import Tls
from emo_serving.workers.shared import SharedMemory
from emo_serving.workers.worker import Command, WorkerStart, run_worker

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_TICK_S = 1.0
# A worker whose event loop did not run for this many ticks is killed.
_STUCK_TICKS = 60
_FIRST_DELAY_S, _MAX_DELAY_S = 0.1, 30.0
# After this time without a loss, the next one is answered without delay again.
_HEALTHY_S = 60.0
# Beyond drain_s: the rest of a worker's shutdown.
_STOP_S = 3 * LAST_S
_QUIT_S = 5.0
_SHARED_FOLDER = Path("/dev/shm")  # noqa: S108  (a private folder is created in it)


@dataclass(eq=False)
class _Worker:
    """A running worker."""

    slot: int
    pid: int
    control: socket.socket
    replaces: "_Worker | None" = None
    ready: bool = False
    leaving: bool = False
    beat: int = 0
    silent_ticks: int = 0

    def send(self, command: Command) -> None:
        """Send a command; a worker that has ended is noticed elsewhere."""
        with contextlib.suppress(OSError):
            self.control.send(command)


def supervise(
    read_settings: Callable[[], Settings],
    listening: socket.socket,
    on_ready: Callable[[], object] = lambda: None,
    tls: Tls | None = None,
    *,
    audiosocket: socket.socket | None = None,
    grpc: tuple[str, int] | None = None,
) -> None:
    """Serve with several workers until SIGTERM or SIGINT; a second signal ends them at once.

    SIGHUP replaces the workers one by one, with the settings, the bundle and the certificate as
    they are then.

    Args:
        read_settings: Returns the settings; called again for each restart.
        listening: A listening socket.
        on_ready: Called once all workers accept connections.
        tls: Serve HTTPS with this certificate.
        audiosocket: A listening socket for AudioSocket calls.
        grpc: Host and port of the gRPC service: each worker listens on them.

    Raises:
        EmoError: The settings, the bundle or the certificate can't be used.
    """
    settings = read_settings()
    with contextlib.ExitStack() as stack:
        shared = str(_SHARED_FOLDER) if os.access(_SHARED_FOLDER, os.W_OK) else None
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="emo-serve-", dir=shared))
        memory = SharedMemory(settings.workers, settings.max_connections)
        stack.callback(memory.close)
        signals = stack.enter_context(_signals())
        selector = stack.enter_context(selectors.DefaultSelector())
        supervisor = Supervisor(
            read_settings,
            listening,
            tls,
            audiosocket=audiosocket,
            grpc=grpc,
            memory=memory,
            folder=Path(folder),
            selector=selector,
        )
        supervisor.run(signals, on_ready)
    if supervisor.failed:
        sys.exit(1)
    if supervisor.quit_signal:
        signal.signal(supervisor.quit_signal, signal.SIG_DFL)
        os.kill(os.getpid(), supervisor.quit_signal)


class Supervisor:
    """Runs the workers. See ``supervise``."""

    def __init__(
        self,
        read_settings: Callable[[], Settings],
        listening: socket.socket,
        tls: Tls | None,
        *,
        audiosocket: socket.socket | None,
        grpc: tuple[str, int] | None,
        memory: SharedMemory,
        folder: Path,
        selector: selectors.BaseSelector,
    ) -> None:
        self.failed = False
        self.quit_signal = 0
        self._read_settings = read_settings
        self._listening = listening
        self._tls = tls
        self._audiosocket = audiosocket
        self._grpc = grpc
        self._memory = memory
        self._folder = folder
        self._selector = selector
        self._workers: list[_Worker] = []
        self._to_restart: list[_Worker] = []
        self._restart_wanted = False
        self._starts: list[float] = []
        self._losses = 0
        self._lost_at = float("-inf")
        self._stop_at: float | None = None
        self._tick_at = time.monotonic()
        self._settings, self._recognizers = self._open()
        self._files = self._fingerprints()
        self._failed_files = self._seen_files = self._files
        self._poll_at = time.monotonic()

    def run(self, signals: socket.socket, on_ready: Callable[[], object]) -> None:
        """Start the workers, and run them until they have stopped."""
        self._listening.setblocking(False)
        if self._audiosocket is not None:
            self._audiosocket.setblocking(False)
        self._selector.register(signals, selectors.EVENT_READ)
        for _ in range(self._memory.workers):
            self._start()
        announced = False
        while self._workers or (self._stop_at is None and self._starts):
            for key, _ in self._selector.select(self._wait_s()):
                if key.data is None:
                    for number in signals.recv(4096):
                        self._on_signal(number)
                else:
                    self._on_message(key.data)
            for worker in list(self._workers):
                self._reap(worker, announced=announced)
            if not announced and self._stop_at is None and all(w.ready for w in self._workers):
                announced = True
                on_ready()
            self._advance()
        self._close_recognizers()

    def _close_recognizers(self) -> None:
        for recognizer in self._recognizers:
            recognizer.close()

    def _open(
        self, *, self_test: bool | None = None
    ) -> tuple[Settings, tuple[EmotionRecognizer, ...]]:
        """Return the settings of one worker, and the recognizers that it inherits."""
        if self._tls is not None:
            self._tls.check()
        settings = self._read_settings()
        workers = self._memory.workers
        threads = resolve_threads(settings.threads).count
        each = replace(
            settings,
            threads=math.ceil(threads / workers),
            max_waiting=math.ceil(settings.max_waiting / workers),
        )
        with contextlib.ExitStack() as stack:
            recognizers = []
            for source in each.sources:
                recognizer = open_recognizer(each, source, self_test=self_test)
                stack.callback(recognizer.close)
                recognizers.append(recognizer)
            try:
                for recognizer in recognizers:
                    recognizer.check_forkable()
            except ClosedError:
                raise ArgumentError(
                    "--workers: the processes can share a bundle only on the CPU. Give --provider "
                    "cpu, or run one emo-serve for each device."
                ) from None
            stack.pop_all()
        return each, tuple(recognizers)

    def _fingerprints(self) -> tuple[Fingerprint, ...]:
        """Return what identifies the files of the bundles as they are now."""
        return tuple(
            files_of_bundle(source, recognizer)
            for source, recognizer in zip(self._settings.sources, self._recognizers, strict=True)
        )

    def _are_bundles_replaced(self) -> bool:
        """True if the bundles' files have changed, and are the same as a moment ago."""
        now = time.monotonic()
        if not self._settings.reload_s or now < self._poll_at + self._settings.reload_s:
            return False
        self._poll_at = now
        before, self._seen_files = self._seen_files, self._fingerprints()
        is_stable = before == self._seen_files
        return is_stable and self._seen_files not in (self._files, self._failed_files)

    def _start(self, replaces: _Worker | None = None) -> None:
        """Fork a worker."""
        used = {worker.slot for worker in self._workers}
        slot = next(each for each in range(self._memory.slots) if each not in used)
        self._memory.clear(slot)
        ours, theirs = socket.socketpair()
        start = WorkerStart(
            self._settings,
            self._recognizers,
            self._memory,
            self._folder,
            slot,
            self._listening,
            theirs,
            self._tls,
            self._audiosocket,
            self._grpc,
        )
        gc.collect()
        gc.freeze()  # or the collector of each worker would write to pages that all share
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 warns if there are threads. These are OpenBLAS's, which handles forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            for other in self._workers:
                other.control.close()
            ours.close()
            self._selector.close()
            run_worker(start)
        gc.unfreeze()
        theirs.close()
        worker = _Worker(slot, pid, ours, replaces)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _on_signal(self, number: int) -> None:
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stop(number)
        elif number == signal.SIGHUP and self._stop_at is None:
            self._restart_wanted = True

    def _on_message(self, worker: _Worker) -> None:
        message = b""
        with contextlib.suppress(OSError):
            message = worker.control.recv(64)
        if not message:
            self._selector.unregister(worker.control)
            return
        worker.ready = True
        if worker.replaces is not None:
            worker.replaces.leaving = True
            worker.replaces.send(Command.LEAVE)
            worker.replaces = None

    def _reap(self, worker: _Worker, *, announced: bool) -> None:
        """Handle the end of a worker, if it has ended."""
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if not pid:
            return
        code = os.waitstatus_to_exitcode(status)
        self._workers.remove(worker)
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.control)
        worker.control.close()
        self._memory.clear(worker.slot)
        mark_process_dead(worker.slot, str(self._folder))  # type: ignore[no-untyped-call]
        (self._folder / f"{worker.slot}.sock").unlink(missing_ok=True)
        if not announced and self._stop_at is None:
            self.failed = True
            self._stop(signal.SIGTERM)
        elif self._stop_at is None:
            self._after_end(worker, code)

    def _after_end(self, worker: _Worker, code: int) -> None:
        now = time.monotonic()
        successors = [each for each in self._workers if each.replaces is worker]
        if not worker.ready and worker.replaces is not None:
            self._memory.count_failed_restart()
            log_server_event("restart_failed", pid=worker.pid, exit=code)
            self._to_restart.clear()
        elif worker.leaving or successors:
            for each in successors:
                each.replaces = None
        elif code:
            if now - self._lost_at > _HEALTHY_S:
                self._losses = 0
            delay = min(_MAX_DELAY_S, _FIRST_DELAY_S * 2**self._losses)
            self._losses, self._lost_at = self._losses + 1, now
            self._starts.append(now + delay)
            log_server_event("worker_lost", pid=worker.pid, exit=code, restart_in_s=delay)
        else:  # an operator has sent it SIGTERM
            self._starts.append(now)
        if code:
            self._memory.count_lost()

    def _advance(self) -> None:
        """Do what is due: starts, the next step of a restart, kill workers that are stuck."""
        now = time.monotonic()
        if self._stop_at is not None:
            if now >= self._stop_at:
                self._kill(self._workers)
            return
        due = [each for each in self._starts if each <= now]
        self._starts = [each for each in self._starts if each > now]
        for _ in due:
            self._start()
        if now - self._tick_at >= _TICK_S:
            self._tick_at = now
            self._kill([worker for worker in self._workers if self._is_stuck(worker)])
        busy = self._starts or any(not each.ready or each.leaving for each in self._workers)
        if busy:
            return
        if not self._to_restart and self._are_bundles_replaced():
            self._restart_wanted = True
        if self._restart_wanted and not self._to_restart:
            self._restart_wanted = False
            self._reopen()
        while self._to_restart:
            worker = self._to_restart.pop(0)
            if worker in self._workers:
                self._start(replaces=worker)
                return

    def _reopen(self) -> None:
        """Open the bundles again for the next workers; if that fails, all stays as it is."""
        files = self._fingerprints()
        try:
            settings, recognizers = self._open(self_test=True)
        except (EmoError, OSError, click.UsageError) as error:
            self._failed_files = files
            self._memory.count_failed_restart()
            log_server_event("restart_failed", error=str(error))
            return
        self._close_recognizers()
        self._settings, self._recognizers = settings, recognizers
        self._files = files
        self._to_restart = list(self._workers)
        log_server_event("restart", workers=len(self._to_restart))

    def _is_stuck(self, worker: _Worker) -> bool:
        """True if its event loop does not run. Called at each tick."""
        beat = self._memory.beat(worker.slot)
        changed = beat != worker.beat or not worker.ready
        worker.silent_ticks = 0 if changed else worker.silent_ticks + 1
        worker.beat = beat
        return worker.silent_ticks >= _STUCK_TICKS

    def _stop(self, number: int) -> None:
        """Stop all workers; at once if this is the second signal."""
        if self._stop_at is None:
            # The workers accept for a moment more; then nobody listens.
            self._listening.close()
            if self._audiosocket is not None:
                self._audiosocket.close()
            self._stop_at = time.monotonic() + self._settings.drain_s + _STOP_S
            command = Command.STOP
        else:
            self.quit_signal = number
            self._stop_at = min(self._stop_at, time.monotonic() + _QUIT_S)
            command = Command.QUIT
        for worker in self._workers:
            worker.send(command)

    def _kill(self, workers: list[_Worker]) -> None:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def _wait_s(self) -> float:
        now = time.monotonic()
        return max(0.0, min([_TICK_S, *(each - now for each in self._starts)]))


@contextlib.contextmanager
def _signals() -> Iterator[socket.socket]:
    """Yield a socket from which the numbers of signals can be read."""
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)

        def ignore(number: int, frame: FrameType | None) -> None:
            """Do nothing: the number was written to the socket."""

        handlers = {each: signal.signal(each, ignore) for each in _SIGNALS}
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield reading
        finally:
            signal.set_wakeup_fd(before)
            for each, handler in handlers.items():
                signal.signal(each, handler)
