"""An open WebSocket: messages to a receiver, back-pressure, pings, and the closing handshake."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from emo_serving.live.transport import Disconnected
from emo_serving.websocket.frames import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameParser,
    build_close,
    build_frame,
    parse_close,
    whole_message,
)

# Frames that are handled before other connections have their turn: a client can send 40,000 of 6
# bytes at once.
_FRAMES_AT_ONCE = 64
# Time for the client's side of the closing handshake, and for reading what was sent before.
_CLOSE_S = 3.0
_PING_TIMEOUT = 1011
_PING_FRAME = build_frame(PING, b"alive?")

Taken = TypeVar("Taken")


class WebSocketConnection:
    """A WebSocket after its handshake; a ``Transport`` of live calls.

    Bytes are parsed only while ``receive`` waits. Otherwise they stay unparsed, and reading pauses:
    a client is not read faster than its messages are handled.

    Args:
        transport: The connection.
        max_message_bytes: Largest message; a larger one closes the connection.
        ping_s: A client that has sent nothing for this time gets a ping, and is disconnected if it
            does not respond within the same time. None: no pings.
    """

    def __init__(
        self, transport: asyncio.Transport, max_message_bytes: int, ping_s: float | None
    ) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._max_message_bytes = max_message_bytes
        self._parser = FrameParser(max_message_bytes)
        self._take: Callable[[str | bytes], Any] | None = None
        self._waiter: asyncio.Future[Any] | None = None
        self._continuation: asyncio.Handle | None = None
        self._reading = True
        self._writable: asyncio.Future[None] | None = None  # while the write buffer is full
        self._pong: bytes | None = None  # response to the latest ping, for when it no longer is
        self._close_sent = False
        self._ended = False  # nothing more will arrive
        self._close_timer: asyncio.TimerHandle | None = None
        self._ping_s = ping_s
        self._ping_timer: asyncio.TimerHandle | None = None
        self._active = self._pinged = False
        self._schedule_ping()

    @property
    def is_connected(self) -> bool:
        """False once either side has closed the connection."""
        return not (self._ended or self._close_sent)

    async def receive(self, take: Callable[[str | bytes], Taken | None]) -> Taken:
        """Call ``take`` with each message until it returns something. Raises Disconnected."""
        waiter: asyncio.Future[Taken] = self._loop.create_future()
        self._take, self._waiter = take, waiter
        try:
            self._process()
            return await waiter
        finally:
            self._take = self._waiter = None

    async def send(self, text: str) -> None:
        """Send a message, once the client has read enough of the earlier ones.

        Raises:
            Disconnected: The connection is closed.
        """
        while self._writable is not None:
            await asyncio.shield(self._writable)
        if not self.is_connected or self._transport.is_closing():
            raise Disconnected
        self._write(build_frame(TEXT, text.encode()))

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame; the connection ends when the client has responded, or soon."""
        self.start_closing(code, reason)

    def start_closing(self, code: int, reason: str = "") -> None:
        """Send a close frame. What arrives until the client's is discarded."""
        if self._close_sent or self._transport.is_closing():
            return
        self._send_close(build_close(code, reason))
        self._process()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._active = True
        if self._ended:
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done() and self._parser.is_between_messages:
            message = whole_message(data)
            if message is not None and len(data) <= self._max_message_bytes:
                self._hand_over(message, waiter)
                return
        self._parser.feed(data)
        if self._continuation is None:
            self._process()

    def connection_lost(self) -> None:
        """The connection is closed: what was received before is still handed over."""
        self._ended = True
        self._stop_pings()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self.resume_writing()
        if self._continuation is None:
            self._process()

    def pause_writing(self) -> None:
        """The write buffer is full: senders wait."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The client has read enough of what was sent."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)
        if self._pong is not None and self.is_connected:
            self._write(self._pong)
        self._pong = None

    def _process(self) -> None:
        """Handle frames while somebody wants them; then read on, or pause reading."""
        if self._continuation is not None:
            self._continuation.cancel()
            self._continuation = None
        try:
            for _ in range(_FRAMES_AT_ONCE):
                if not (self._close_sent or self._is_awaited()):
                    self._read(not self._parser.has_more)
                    return
                frame = self._parser.next_frame()
                if frame is None:
                    break
                self._handle(*frame)
            else:
                self._read(False)
                self._continuation = self._loop.call_soon(self._process)
                return
        except FrameError as error:
            self._fail(error)
        if self._ended and self._waiter is not None and self._is_awaited():
            self._waiter.set_exception(Disconnected())
        self._read(True)

    def _is_awaited(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _handle(self, opcode: int, payload: str | bytes) -> None:
        if opcode < CLOSE:
            if self._waiter is not None:
                self._hand_over(payload, self._waiter)
        elif opcode == PING:
            self._respond(build_frame(PONG, payload))  # type: ignore[arg-type]
        elif opcode == CLOSE:
            code, _ = parse_close(payload)  # type: ignore[arg-type]
            self._end()
            if not self._close_sent:
                self._send_close(build_close(code))
            if not self._transport.is_closing():
                self._transport.close()

    def _hand_over(self, message: str | bytes, waiter: asyncio.Future[Any]) -> None:
        if self._close_sent or self._take is None:
            return  # the client has not seen the close frame yet
        try:
            taken = self._take(message)
        except Exception as error:  # noqa: BLE001  (it is raised in ``receive``)
            waiter.set_exception(error)
        else:
            if taken is not None:
                waiter.set_result(taken)

    def _respond(self, pong: bytes) -> None:
        """Send a pong; to a client that reads nothing, only one later (RFC 6455, 5.5.3)."""
        if self._close_sent:
            return
        if self._writable is None:
            self._write(pong)
        else:
            self._pong = pong

    def _write(self, frame: bytes) -> None:
        # Frames are still handled after the client has gone; uvloop raises on a closed transport.
        if not self._transport.is_closing():
            self._transport.write(frame)

    def _send_close(self, frame: bytes) -> None:
        """Send a close frame; even to a client that reads nothing the connection ends soon."""
        self._close_sent = True
        self._stop_pings()
        self._write(frame)
        self._close_timer = self._loop.call_later(_CLOSE_S, self._transport.abort)

    def _fail(self, error: FrameError) -> None:
        """Close because of a violation. Nothing that follows it can be understood."""
        self._end()
        self.start_closing(error.code, error.reason)

    def _end(self) -> None:
        """Ignore all further bytes."""
        self._ended = True
        self._parser = FrameParser(0)

    def _schedule_ping(self) -> None:
        if self._ping_s:
            self._ping_timer = self._loop.call_later(self._ping_s, self._check_activity)

    def _stop_pings(self) -> None:
        if self._ping_timer is not None:
            self._ping_timer.cancel()

    def _check_activity(self) -> None:
        """Send a ping to a silent client, and disconnect one that did not respond."""
        if self._active or not self._reading:
            self._active = self._pinged = False
        elif self._pinged:
            self._end()
            self.start_closing(_PING_TIMEOUT, "keepalive ping timeout")
            return
        else:
            self._pinged = True
            if self._writable is None:
                self._write(_PING_FRAME)
        self._schedule_ping()
