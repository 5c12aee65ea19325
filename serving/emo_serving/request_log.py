"""The access log: one JSON line for each request and each live call, without text or sound.

Lines are written by a separate thread, so that a slow reader of the log does not block the
event loop. Lines beyond the queue are dropped and counted.
"""

import contextlib
import datetime
import queue
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

import msgspec
from starlette.types import Scope

from emo_serving.context import RequestContext

_MAX_QUEUE = 10_000


class LogWriter:
    """Writes records as JSON lines in a thread."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_MAX_QUEUE)
        self._thread = threading.Thread(target=self._run, name="emo-log", daemon=True)
        self._thread.start()
        self.dropped = 0

    def write(self, record: dict[str, Any]) -> None:
        """Queue a record; drop it if the queue is full."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (record := self._queue.get()) is not None:
            with contextlib.suppress(OSError, ValueError):  # closed: nowhere to report it
                self._stream.write(msgspec.json.encode(record).decode() + "\n")
                if self._queue.empty():
                    self._stream.flush()


_writer: LogWriter | None = None


@contextlib.contextmanager
def writing_log(stream: IO[str] | None = None) -> Iterator[LogWriter]:
    """Write the records of this process until the block ends; without it they are discarded."""
    global _writer  # noqa: PLW0603  (one log for a process)
    before, _writer = _writer, LogWriter(stream)
    writer = _writer
    try:
        yield writer
    finally:
        _writer = before
        writer.close()


def log_request(
    scope: Scope, context: RequestContext, route: str, status: int, seconds: float
) -> None:
    """Log an HTTP request, or the handshake and end of a WebSocket."""
    kind = "request" if scope["type"] == "http" else "websocket"
    fields = {"method": scope.get("method", "GET"), "route": route, "status": status}
    log_event(kind, context, **fields, ms=round(seconds * 1e3, 1))


def log_server_event(event: str, **fields: object) -> None:
    """Write a line about the server itself on standard error, whatever the access log."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = msgspec.json.encode({"time": now, "event": event, **fields}).decode()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")  # at once: other processes write to the same file
        sys.stderr.flush()


def log_event(kind: str, context: RequestContext, **fields: Any) -> None:
    """Log a record of this kind."""
    if _writer is None:
        return
    record: dict[str, Any] = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "event": kind,
        "request_id": context.request_id,
        "client": context.client.name,
    }
    if context.trace_id is not None:
        record |= {"trace_id": context.trace_id, "parent_id": context.parent_id}
    _writer.write(record | fields)
