"""The connection of a live call: messages in, events out, limits, and its end."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.websockets import WebSocket

from emo_runtime import EmoError
from emo_serving.calls import CallChannel
from emo_serving.context import RequestContext, context_of
from emo_serving.errors import RequestError, body_of
from emo_serving.live.dialects.base import Dialect
from emo_serving.live.dialects.generic import Generic
from emo_serving.live.idle import CloseConnection, IdleMonitor
from emo_serving.live.lease import CallLease, unauthorized
from emo_serving.live.messages import Mark, Media, Message, Reply, Start, Stop, Transcript
from emo_serving.live.speakers import CallSpeakers
from emo_serving.live.transport import (
    POLICY,
    RESTART,
    TOO_BIG,
    Disconnected,
    Transport,
    transport_of,
)
from emo_serving.live.utterance import LiveUtterance
from emo_serving.models import Model
from emo_serving.request_log import log_event
from emo_serving.service import Service
from emo_serving.settings import SUBPROTOCOL
from emo_serving.tracing import record_span
from emo_serving.webhooks.events import CallWebhook

_MINUTE_S = 60.0
_CLOSE_S = 1.0


async def answer_live(socket: WebSocket, service: Service, dialect: Dialect | None = None) -> None:
    """Handle one WebSocket until it ends. Raises OverloadedError, UnavailableError."""
    with CallLease(service, context_of(socket.scope)) as lease:
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        context, bundle = context_of(socket.scope), socket.query_params.get("bundle")
        await run_call(
            transport_of(socket), service, dialect or Generic(), context, lease, bundle=bundle
        )


async def run_call(
    transport: Transport,
    service: Service,
    dialect: Dialect,
    context: RequestContext,
    lease: CallLease,
    *,
    bundle: str | None = None,
) -> None:
    """Handle an accepted connection, which the lease counts, until it ends.

    ``bundle`` is the name of the bundle for calls that name none; None: the default.
    """
    connection = _Connection(transport, service, dialect, context, lease, bundle=bundle)
    reason = "internal error"
    try:
        await connection.run()
    except CloseConnection as end:
        reason = end.reason
        await connection.close(end)
    except Disconnected:
        reason = "disconnected"
        await connection.hang_up()
    finally:
        connection.end_channel()
        connection.release_model()
        service.metrics.stream_ends.labels(reason).inc()
        connection.log(reason)


class _Due:
    """There is something to do with the packets that were stored."""


_NOW_DUE = (_Due(),)


class _Connection:
    """The state of a connection: one utterance at a time, several after each other."""

    def __init__(
        self,
        transport: Transport,
        service: Service,
        dialect: Dialect,
        context: RequestContext,
        lease: CallLease,
        *,
        bundle: str | None,
    ) -> None:
        self._transport = transport
        self._service = service
        self._dialect = dialect
        self._context = context
        self._lease = lease
        self._monitor = IdleMonitor(self._reason_to_close)
        self._utterance: LiveUtterance | None = None
        self._channel: CallChannel | None = None
        self._webhook: CallWebhook | None = None
        self._call_id: str | None = None
        self._default_bundle = bundle
        self._model: Model | None = None
        self._model_use = contextlib.ExitStack()
        self._speakers: CallSpeakers | None = None
        self._errors: deque[float] = deque(maxlen=service.settings.max_errors_per_minute)
        self._counts = {"utterances": 0, "answers": 0, "errors": 0}
        self._begun = time.monotonic()
        self._max_message_bytes = service.settings.max_message_bytes

    async def run(self) -> None:
        """Handle messages until CloseConnection or Disconnected is raised."""
        with self._monitor:
            while True:
                try:
                    for message in await self._receive():
                        await self._handle(message)
                except EmoError as error:
                    await self._send_error(error)

    async def close(self, end: CloseConnection) -> None:
        """Close with a code and a reason; do not wait for a client that reads nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._transport.close(end.code, end.reason)

    async def hang_up(self) -> None:
        """End after the client's disconnect: those who listen elsewhere get the final answer."""
        if self._channel is not None or self._webhook is not None:
            await self._finish()

    def end_channel(self) -> None:
        """Notify those who listen elsewhere that there are no further events."""
        if self._channel is not None:
            self._channel.end()
            self._channel = None

    def release_model(self) -> None:
        """Use the model no longer."""
        self._model = self._speakers = None
        self._model_use.close()

    def log(self, reason: str) -> None:
        """Write the call's line of the access log, and its span."""
        fields = {"dialect": self._dialect.name, "reason": reason, **self._counts}
        seconds = time.monotonic() - self._begun
        attributes = {f"emo.call.{name}": value for name, value in fields.items()}
        record_span("live call", self._context, seconds, attributes)
        if self._service.settings.access_log:
            log_event("call", self._context, **fields, seconds=round(seconds, 1))

    async def set_transcript(self, text: str) -> None:
        """Take a transcript that came by another request. Raises RequestError."""
        event = await self._running("a transcript").set_text(text)
        if event is not None:
            self._publish(event)

    async def _receive(self) -> Sequence[Message | _Due]:
        """Return what the next messages mean, except packets that were only to be stored.

        Raises:
            EmoError: A message is wrong.
            CloseConnection: The connection is silent, or the server stops.
        """
        try:
            messages = await self._monitor.wait(self._transport.receive(self._take))
            if self._service.admission.closing:
                raise _stopping()
            if self._is_unauthorized():
                raise unauthorized()
        except CloseConnection:
            if self._service.admission.closing:
                await self._finish()
            raise
        return messages

    def _take(self, data: str | bytes) -> Sequence[Message | _Due] | None:
        """Return what a message means; None if it was a packet that is stored now."""
        self._monitor.touch()
        if len(data) > self._max_message_bytes:
            raise CloseConnection(TOO_BIG, "message too large")
        messages = self._dialect.parse(data)
        utterance = self._utterance
        if utterance is None or len(messages) != 1 or not isinstance(media := messages[0], Media):
            return messages or None
        return _NOW_DUE if _add(utterance, media) else None

    def _reason_to_close(self, silent_s: float) -> CloseConnection | None:
        admission = self._service.admission
        if admission.closing or (admission.draining and self._utterance is None):
            return _stopping()
        if self._is_unauthorized():
            return unauthorized()
        if silent_s >= self._service.settings.idle_s:
            return CloseConnection(POLICY, "idle timeout")
        return None

    def _is_unauthorized(self) -> bool:
        """True if the call's token did not arrive within the time for a handshake."""
        waited = time.monotonic() - self._begun
        return not self._lease.is_authenticated and (
            waited >= self._service.settings.head_timeout_s
        )

    async def _handle(self, message: Message | _Due) -> None:
        match message:
            case Media():
                utterance = self._running("sound")
                if _add(utterance, message):
                    await self._send(await utterance.step())
            case _Due():
                await self._send(await self._running("sound").step())
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
        self._lease.authenticate(message.options.token)
        call_id = message.call_id or message.stream_id
        is_new = call_id != self._call_id
        model, speakers = self._choose_model(message.options.bundle, is_new=is_new)
        if is_new:
            name = call_id or self._context.request_id
            self._webhook = self._service.webhooks.open(message.options.webhook, name)
            self._call_id = call_id
        speaker = speakers.profile(message.options.speaker, message.options.track)
        self._utterance = await LiveUtterance.begin(self._service, message, speaker, model)
        self._counts["utterances"] += 1
        if call_id and (self._channel is None or self._channel.call_id != call_id):
            self.end_channel()
            self._channel = CallChannel(call_id, self._context.client.owner, self)
            self._service.calls.add(self._channel)

    def _choose_model(self, name: str | None, *, is_new: bool) -> tuple[Model, CallSpeakers]:
        """Return the model and the speakers of a call, which keeps both until its end.

        A call goes on with a model that was replaced meanwhile. Raises UnknownBundleError.
        """
        name = name or self._default_bundle
        current, speakers = self._model, self._speakers
        wanted = name or self._service.models.default
        if not is_new and current is not None and speakers is not None and current.name == wanted:
            return current, speakers
        model = self._service.models.get(name)
        self.release_model()
        self._model = self._model_use.enter_context(model.use())
        self._speakers = CallSpeakers(model.recognizer)
        return model, self._speakers

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
        self._publish(event)
        if self._dialect.sends_events and self._transport.is_connected:
            await self._send_message(event)

    def _publish(self, event: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.publish(event)
        if self._webhook is not None:
            self._webhook.publish(event)

    async def _send_message(self, content: dict[str, Any]) -> None:
        text = msgspec.json.encode(content).decode()
        try:
            async with asyncio.timeout(self._service.settings.send_timeout_s):
                await self._transport.send(text)
        except TimeoutError:
            raise CloseConnection(POLICY, "slow reader") from None


def _stopping() -> CloseConnection:
    return CloseConnection(RESTART, "the server is stopping")


def _add(utterance: LiveUtterance, media: Media) -> bool:
    """Store a packet of the utterance's track; True if there is now something to do."""
    return media.track in {"", utterance.track} and utterance.add(media.payload)
