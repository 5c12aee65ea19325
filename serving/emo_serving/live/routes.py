"""WS /v1/stream, GET /v1/calls/{id}/events (server-sent events), POST /v1/calls/{id}/transcript."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from emo_serving.api.bodies import JSON, check_media_type, received_body
from emo_serving.api.openapi import POST_ERRORS, READ_ERRORS, Endpoint, as_json
from emo_serving.api.schemas import ErrorBody, decode
from emo_serving.calls import Call, NumberedEvent
from emo_serving.context import client_of
from emo_serving.errors import NotFoundError
from emo_serving.live.connection import answer_live
from emo_serving.live.dialects import DIALECTS
from emo_serving.service import Service

_TAG = "live calls"
_KEEP_ALIVE_S = 15.0


class TranscriptBody(Struct, forbid_unknown_fields=True):
    """The transcript of a live call's utterance so far."""

    text: Annotated[str, Meta(description="From the utterance's beginning.")]


class TranscriptTaken(Struct):
    """The id of the call that took the transcript."""

    call: str


async def stream(socket: WebSocket) -> None:
    """A live call in the dialect of the path. Raises NotFoundError."""
    name = socket.path_params.get("dialect", "generic")
    if name not in DIALECTS:
        raise NotFoundError(f"dialects are: {', '.join(DIALECTS)}.")
    await answer_live(socket, socket.app.state.service, DIALECTS[name]())


async def call_events(request: Request) -> Response:
    """Server-sent events of a live call until its end: ``emotion`` and ``error``, as JSON.

    A client that connects again sends the last id in ``Last-Event-ID``. It gets 204, which tells a
    browser to stop connecting, if the call has ended and nothing is left.
    """
    call = await _find(request)
    after = request.headers.get("last-event-id", "")
    if call.ended and after and after == call.last_id:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(call, after), media_type="text/event-stream", headers=headers)


async def call_transcript(request: Request) -> Response:
    """Set the transcript of a live call, if its platform can't send it."""
    service: Service = request.app.state.service
    check_media_type(request, JSON)
    limit = service.settings.max_message_bytes
    async with received_body(request, service.settings, service.admission, limit) as body:
        text = decode(TranscriptBody, body).text
    call = await _find(request)
    await call.set_transcript(text)
    return as_json(TranscriptTaken(request.path_params["call"]))


async def _find(request: Request) -> Call:
    service: Service = request.app.state.service
    return await service.calls.find(request.path_params["call"], client_of(request.scope).owner)


async def _lines(call: Call, after: str) -> AsyncIterator[bytes]:
    yield b"retry: 1000\n\n"
    async for event in call.events(_KEEP_ALIVE_S, after):
        yield b": keep-alive\n\n" if event is None else _line(event)


def _line(event: NumberedEvent) -> bytes:
    name, data = event.content["event"].encode(), msgspec.json.encode(event.content)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.id.encode(), name, data)


ROUTES: list[BaseRoute] = [
    WebSocketRoute("/v1/stream", stream),
    WebSocketRoute("/v1/stream/{dialect}", stream),
    WebSocketRoute("/v1/stream/{dialect}/{token}", stream),
]
ENDPOINTS = [
    Endpoint(
        "GET",
        "/v1/calls/{call}/events",
        call_events,
        "Events of a live call",
        _TAG,
        answer="text/event-stream",
        error=ErrorBody,
        errors=(*READ_ERRORS, 404),
    ),
    Endpoint(
        "POST",
        "/v1/calls/{call}/transcript",
        call_transcript,
        "Set the transcript of a live call",
        _TAG,
        answer=TranscriptTaken,
        body=TranscriptBody,
        example={"text": "¡Esto es una vergüenza!"},
        error=ErrorBody,
        errors=(*POST_ERRORS, 404),
    ),
]
