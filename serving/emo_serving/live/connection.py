"""A WebSocket connection of a live call: messages in, events out, limits, and its end."""

import asyncio
import time
from collections import deque
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from emo_runtime import EmoError
from emo_serving.calls import CallChannel
from emo_serving.context import client_of, context_of
from emo_serving.errors import RequestError, body_of
from emo_serving.live.dialects.base import Dialect
from emo_serving.live.dialects.generic import Generic
from emo_serving.live.idle import CloseConnection, IdleMonitor
from emo_serving.live.messages import Mark, Media, Message, Reply, Start, Stop, Transcript
from emo_serving.live.utterance import LiveUtterance
from emo_serving.request_log import log_event
from emo_serving.service import Service
from emo_serving.settings import SUBPROTOCOL

# WebSocket close codes (RFC 6455, 7.4.1, and its registry).
NORMAL, POLICY, TOO_BIG, RESTART = 1000, 1008, 1009, 1012
_MINUTE_S = 60.0
_CLOSE_S = 1.0


async def answer_live(socket: WebSocket, service: Service, dialect: Dialect | None = None) -> None:
    """Handle one connection until it ends. Raises OverloadedError, UnavailableError."""
    with service.admission.stream(client_of(socket.scope)):
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        connection = _Connection(socket, service, dialect or Generic())
        reason = "internal error"
        try:
            await connection.run()
        except CloseConnection as end:
            reason = end.reason
            await connection.close(end)
        except WebSocketDisconnect:
            reason = "disconnected"
            await connection.hang_up()
        finally:
            service.metrics.stream_ends.labels(reason).inc()
            connection.log(reason)


class _Connection:
    """The state of a connection: one utterance at a time, several after each other."""

    def __init__(self, socket: WebSocket, service: Service, dialect: Dialect) -> None:
        self._socket = socket
        self._service = service
        self._dialect = dialect
        self._utterance: LiveUtterance | None = None
        self._channel: CallChannel | None = None
        self._errors: deque[float] = deque(maxlen=service.settings.max_errors_per_minute)
        self._counts = {"utterances": 0, "answers": 0, "errors": 0}
        self._begun = time.monotonic()

    async def run(self) -> None:
        """Handle messages until CloseConnection or WebSocketDisconnect is raised."""
        with IdleMonitor(self._reason_to_close) as monitor:
            while True:
                data = await self._receive(monitor)
                try:
                    for message in self._dialect.parse(data):
                        await self._handle(message)
                except EmoError as error:
                    await self._send_error(error)

    async def close(self, end: CloseConnection) -> None:
        """Close with a code and a reason; do not wait for a client that reads nothing."""
        self._end_channel()
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._socket.close(end.code, end.reason)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            return

    async def hang_up(self) -> None:
        """End after the client's disconnect: those who listen elsewhere get the final answer."""
        if self._channel is not None:
            await self._finish()
        self._end_channel()

    def log(self, reason: str) -> None:
        """Write the call's line of the access log."""
        if self._service.settings.access_log:
            fields = {"dialect": self._dialect.name, "reason": reason, **self._counts}
            seconds = round(time.monotonic() - self._begun, 1)
            log_event("call", context_of(self._socket.scope), **fields, seconds=seconds)

    async def set_transcript(self, text: str) -> None:
        """Take a transcript that came by another request. Raises RequestError."""
        event = await self._running("a transcript").set_text(text)
        if event is not None and self._channel is not None:
            self._channel.publish(event)

    async def _receive(self, monitor: IdleMonitor) -> str | bytes:
        """Return the next message; close a silent connection, and any when the server stops."""
        try:
            message = await monitor.wait(self._socket.receive())
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NORMAL))
            if self._service.admission.closing:
                raise _stopping()
        except CloseConnection:
            if self._service.admission.closing:
                await self._finish()
            raise
        data = message.get("text")
        if data is None:
            data = message.get("bytes") or b""
        if len(data) > self._service.settings.max_message_bytes:
            raise CloseConnection(TOO_BIG, "message too large")
        return data

    def _reason_to_close(self, silent_s: float) -> CloseConnection | None:
        admission = self._service.admission
        if admission.closing or (admission.draining and self._utterance is None):
            return _stopping()
        if silent_s >= self._service.settings.idle_s:
            return CloseConnection(POLICY, "idle timeout")
        return None

    async def _handle(self, message: Message) -> None:
        match message:
            case Media():
                utterance = self._running("sound")
                if message.track in {"", utterance.track}:
                    await self._send(await utterance.feed(message.payload))
            case Transcript():
                await self._send(await self._running("a transcript").set_text(message.text))
            case Mark():
                await self._send(await self._running("a mark").mark(message.name))
            case Start():
                await self._start(message)
            case Stop():
                self._running("stop")
                await self._finish()
            case Reply():
                await self._send_message(message.content)

    async def _start(self, message: Start) -> None:
        if self._utterance is not None:
            raise RequestError("an utterance is in progress: send 'stop' first.")
        self._utterance = await LiveUtterance.begin(self._service, message)
        self._counts["utterances"] += 1
        call_id = message.call_id or message.stream_id
        if call_id and (self._channel is None or self._channel.call_id != call_id):
            self._end_channel()
            self._channel = CallChannel(call_id, client_of(self._socket.scope).owner, self)
            self._service.calls.add(self._channel)

    async def _finish(self) -> None:
        """Send the final answer; the next ``start`` begins another utterance."""
        utterance, self._utterance = self._utterance, None
        if utterance is None:
            return
        for step in (utterance.process, utterance.finish):
            try:
                await self._send(await step())
            except EmoError as error:
                await self._send_error(error, utterance.stream_id)

    def _running(self, what: str) -> LiveUtterance:
        if self._utterance is None:
            raise RequestError(f"{what} before 'start'.")
        return self._utterance

    async def _send_error(self, error: EmoError, stream_id: str | None = None) -> None:
        self._counts["errors"] += 1
        running = stream_id if self._utterance is None else self._utterance.stream_id
        await self._send({"event": "error", "streamSid": running or "", "error": body_of(error)})
        now = time.monotonic()
        self._errors.append(now)
        if len(self._errors) == self._errors.maxlen and now - self._errors[0] < _MINUTE_S:
            raise CloseConnection(POLICY, "too many errors")

    async def _send(self, event: dict[str, Any] | None) -> None:
        """Send an event where the dialect has events, and to those who listen elsewhere."""
        if event is None:
            return
        self._counts["answers"] += event["event"] == "emotion"
        if self._channel is not None:
            self._channel.publish(event)
        if self._dialect.sends_events and self._is_connected():
            await self._send_message(event)

    async def _send_message(self, content: dict[str, Any]) -> None:
        text = msgspec.json.encode(content).decode()
        try:
            async with asyncio.timeout(self._service.settings.send_timeout_s):
                await self._socket.send_text(text)
        except TimeoutError:
            raise CloseConnection(POLICY, "slow reader") from None

    def _is_connected(self) -> bool:
        return self._socket.client_state is WebSocketState.CONNECTED

    def _end_channel(self) -> None:
        if self._channel is not None:
            self._channel.end()
            self._channel = None


def _stopping() -> CloseConnection:
    return CloseConnection(RESTART, "the server is stopping")
