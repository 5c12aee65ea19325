"""Read request bodies within the limits of size, time and memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from emo_serving.admission import Admission
from emo_serving.api.multipart import parse_form
from emo_serving.api.schemas import Requested, decode_utterance
from emo_serving.context import client_of
from emo_serving.errors import MediaTypeError, RequestError, SlowUploadError, TooLargeError
from emo_serving.models import Model
from emo_serving.service import Service
from emo_serving.settings import Settings

JSON = "application/json"
FORM = "multipart/form-data"
BINARY = "application/octet-stream"


@asynccontextmanager
async def received_body(
    request: Request, settings: Settings, admission: Admission, limit: int
) -> AsyncIterator[bytes]:
    """Receive the whole body; its memory counts as used until the block ends.

    Raises:
        TooLargeError: The body has more than ``limit`` bytes.
        SlowUploadError: It did not arrive in time.
        RequestError: The connection was closed before the end of the body.
        OverloadedError: Bodies of other requests use the memory for them.
    """
    with admission.buffer(client_of(request.scope)) as reserve:
        try:
            async with asyncio.timeout(settings.upload_timeout_s):
                body = await _collect(request, limit, reserve)
        except TimeoutError:
            raise SlowUploadError(
                f"the body did not arrive within {settings.upload_timeout_s:g} s."
            ) from None
        except ClientDisconnect:
            raise RequestError("the connection was closed before the end of the body.") from None
        yield body


def media_type(request: Request) -> str:
    """Return the media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media_type(request: Request, *accepted: str) -> str:
    """Return the media type of the body. Raises MediaTypeError unless it is one of ``accepted``."""
    kind = media_type(request)
    if kind not in accepted:
        raise MediaTypeError(
            f"a body of type {kind[:80] or 'unknown'!r}: send {' or '.join(accepted)}."
        )
    return kind


def parse_utterance(request: Request, body: bytes) -> Requested:
    """Return the utterance of a JSON or multipart body. Raises RequestError."""
    if media_type(request) == JSON:
        return decode_utterance(body)
    return parse_form(request.headers["content-type"], body)


def requested_model(request: Request, named: str | None = None) -> Model:
    """Return the model that the body or the query parameter ``bundle`` names, or the default.

    Raises:
        RequestError: They name different ones.
        UnknownBundleError: There is no such bundle.
    """
    service: Service = request.app.state.service
    in_query = request.query_params.get("bundle")
    if named and in_query and named != in_query:
        raise RequestError("the query and the body name different bundles.")
    return service.models.get(named or in_query)


def body_limit(request: Request, settings: Settings) -> int:
    """Return the largest accepted body. JSON is decoded on the event loop: its limit is lower."""
    if media_type(request) == JSON:
        return min(settings.max_json_bytes, settings.max_body_bytes)
    return settings.max_body_bytes


async def _collect(request: Request, limit: int, reserve: Callable[[int], None]) -> bytes:
    refusal = TooLargeError(f"the body has more than {limit:,} bytes, which is the limit.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:20]) > limit:
        raise refusal
    chunks: list[bytes] = []
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise refusal
        reserve(len(chunk))
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
