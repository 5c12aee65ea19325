"""A live call over a WebSocket: its connection, its limits, and its end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from emo_runtime import EmoError
from emo_serving.api.middleware import SUBPROTOCOL
from emo_serving.errors import RequestError, body_of
from emo_serving.live.messages import (
    Connected,
    Dtmf,
    Mark,
    Media,
    Start,
    Stop,
    Transcript,
    parse_message,
)
from emo_serving.live.utterance import Call
from emo_serving.service import Service

MAX_ERRORS = 16
_LOOK_AROUND_S = 0.5

# WebSocket close codes (RFC 6455, 7.4.1, and its registry).
NORMAL, POLICY, TOO_BIG, RESTART = 1000, 1008, 1009, 1012


class CloseConnection(Exception):  # noqa: N818  (a control-flow signal, not an error)
    """The connection is to be closed, with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


async def answer_live(socket: WebSocket, service: Service) -> None:
    """Answer one connection until it ends. Raises OverloadedError, UnavailableError."""
    with service.gate.stream():
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        connection = _Connection(socket, service)
        try:
            await connection.run()
        except CloseConnection as end:
            service.stream_ends.labels(end.reason).inc()
            await connection.close(end)
        except WebSocketDisconnect:
            service.stream_ends.labels("hung up").inc()


class _Connection:
    """Messages in, events out; one utterance at a time, several after each other."""

    def __init__(self, socket: WebSocket, service: Service) -> None:
        self._socket = socket
        self._service = service
        self._call: Call | None = None
        self._errors = 0

    async def run(self) -> None:
        """Take messages for ever; ends by CloseConnection or WebSocketDisconnect."""
        with IdleMonitor(self._why_end) as watch:
            while True:
                data = await self._receive(watch)
                try:
                    await self._take(data)
                except EmoError as error:
                    await self.send_error(error)

    async def close(self, end: CloseConnection) -> None:
        """Say why, and close; a reader that is behind is not waited for."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(1.0):
                await self._socket.close(end.code, end.reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            return

    async def _receive(self, watch: "IdleMonitor") -> str | bytes:
        """The next message. Closes what is silent for too long, and ends at the server's end."""
        try:
            message = await watch.wait(self._socket.receive())
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NORMAL))
            if self._service.gate.closing:
                raise _stopping()
        except CloseConnection:
            if self._service.gate.closing:
                await self._finish()
            raise
        data = message.get("text")
        if data is None:
            data = message.get("bytes") or b""
        if len(data) > self._service.settings.max_message_bytes:
            raise CloseConnection(TOO_BIG, "a message too large")
        return data

    def _why_end(self, silent_s: float) -> CloseConnection | None:
        gate = self._service.gate
        if gate.closing or (gate.draining and self._call is None):
            return _stopping()
        if silent_s >= self._service.settings.idle_s:
            return CloseConnection(POLICY, "silent for too long")
        return None

    async def _take(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            await self._send(await self._running("samples").feed(data))
            return
        match parse_message(data):
            case Media(media=media):
                call = self._running("media")
                if media.track in {"", call.track}:
                    await self._send(await call.feed(media.payload))
            case Transcript(transcript=transcript):
                self._service.check_text(transcript.text)
                await self._send(await self._running("a transcript").read(transcript.text))
            case Mark(mark=mark):
                await self._send(await self._running("a mark").mark(mark.name))
            case Start() as start:
                if self._call is not None:
                    raise RequestError("an utterance has begun already: send 'stop' first.")
                self._call = await Call.begin(self._service, start)
            case Stop():
                self._running("stop")
                await self._finish()
            case Connected() | Dtmf():
                pass

    async def _finish(self) -> None:
        """The final answer; the next ``start`` begins another utterance."""
        call, self._call = self._call, None
        if call is None:
            return
        for step in (call.hear, call.finish):
            try:
                await self._send(await step())
            except EmoError as error:
                await self.send_error(error, call.stream_sid)

    def _running(self, what: str) -> Call:
        if self._call is None:
            raise RequestError(f"{what} before 'start'.")
        return self._call

    async def send_error(self, error: EmoError, stream_sid: str | None = None) -> None:
        self._errors += 1
        sid = stream_sid if self._call is None else self._call.stream_sid
        await self._send({"event": "error", "streamSid": sid or "", "error": body_of(error)})
        if self._errors >= MAX_ERRORS:
            raise CloseConnection(POLICY, "too many errors")

    async def _send(self, event: dict[str, Any] | None) -> None:
        if event is None:
            return
        text = msgspec.json.encode(event).decode()
        try:
            async with asyncio.timeout(self._service.settings.send_timeout_s):
                await self._socket.send_text(text)
        except TimeoutError:
            raise CloseConnection(POLICY, "slow reader") from None


def _stopping() -> CloseConnection:
    return CloseConnection(RESTART, "the server is stopping")


class IdleMonitor:
    """Looks now and then whether to go on waiting. One timer for all the messages of a connection:
    a timeout for each of fifty a second cost more than taking them.

    ``why_end`` is told for how many seconds nothing came.
    """

    def __init__(self, why_end: Callable[[float], CloseConnection | None]) -> None:
        self._why_end = why_end
        self._end: CloseConnection | None = None
        self._since: float | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._timer = self._loop.call_later(_LOOK_AROUND_S, self._look_around)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    async def wait(self, coming: Awaitable[Message]) -> Message:
        """What is coming. Raises the reason to end instead."""
        self._since = self._loop.time()
        try:
            return await coming
        except asyncio.CancelledError:
            if self._end is None or (self._task and self._task.uncancel()):
                raise  # somebody else wants it to stop
            raise self._end from None
        finally:
            self._since = None

    def _look_around(self) -> None:
        self._timer = self._loop.call_later(_LOOK_AROUND_S, self._look_around)
        if self._since is None or self._task is None or self._end is not None:
            return
        self._end = self._why_end(self._loop.time() - self._since)
        if self._end is not None:
            self._task.cancel()
