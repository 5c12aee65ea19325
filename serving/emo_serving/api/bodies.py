"""Bodies of requests: read within the limits, and taken apart. Nothing touches the disk."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from emo_runtime import Utterance
from emo_serving.api.schemas import UtteranceBody
from emo_serving.errors import MediaTypeError, RequestError, SlowUploadError, TooLargeError
from emo_serving.settings import Settings

Model = TypeVar("Model", bound=BaseModel)
Read = TypeVar("Read")

_FIELDS = ("text", "audio", "task")


class _InMemoryParser(MultiPartParser):
    """Keeps what is uploaded in memory, which the limit on bodies bounds."""

    spool_max_size = 1 << 40


async def read_utterance(request: Request, settings: Settings) -> Utterance:
    """The utterance of a JSON or multipart body.

    Raises RequestError, TooLargeError, MediaTypeError, SlowUploadError.
    """
    kind = media_type(request)
    if kind == "application/json":
        return parse(UtteranceBody, await read_body(request, settings)).utterance()
    if kind == "multipart/form-data":
        return await _in_time(_read_form(request, settings), settings)
    raise MediaTypeError(
        f"a body of type {kind or 'unknown'!r}: send application/json or multipart/form-data."
    )


async def read_body(request: Request, settings: Settings) -> bytes:
    """The whole body. Raises TooLargeError, SlowUploadError."""

    async def collect() -> bytes:
        return b"".join([chunk async for chunk in _limited(request, settings.max_body_bytes)])

    return await _in_time(collect(), settings)


def media_type(request: Request) -> str:
    """The media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(model: type[Model], body: bytes) -> Model:
    """A JSON body as ``model``. Raises RequestError, which never quotes the body."""
    return _checked(lambda: model.model_validate_json(body))


def _checked(validate: Callable[[], Model]) -> Model:
    try:
        return validate()
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestError("; ".join(map(_in_words, details[:5]))) from None


def _in_words(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"][:4])[:100] or "body"
    return f"{where}: {detail['msg']}"


async def _in_time(reading: Awaitable[Read], settings: Settings) -> Read:
    try:
        async with asyncio.timeout(settings.upload_timeout_s):
            return await reading
    except TimeoutError:
        raise SlowUploadError(
            f"the body did not arrive within {settings.upload_timeout_s:g} s."
        ) from None
    except ClientDisconnect:
        raise RequestError("the connection was closed before the body was there.") from None


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    refusal = TooLargeError(f"a body of more than {limit:,} bytes, which is all that is read.")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise refusal
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limit:
            raise refusal
        yield chunk


async def _read_form(request: Request, settings: Settings) -> Utterance:
    limit = settings.max_body_bytes
    parser = _InMemoryParser(
        request.headers,
        _limited(request, limit),
        max_files=1,
        max_fields=len(_FIELDS),
        max_part_size=limit,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError, LookupError) as error:
        message = getattr(error, "message", "no multipart form that can be read")
        raise RequestError(f"body: {message}") from None
    try:
        fields = await _fields(form)
    finally:
        await form.close()
    if isinstance(fields.get("audio"), str) or isinstance(fields.get("text"), bytes):
        raise RequestError("'audio' must be a file of the form, 'text' a field.")
    return _checked(lambda: UtteranceBody.model_validate(fields)).utterance()


async def _fields(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name not in _FIELDS or name in fields:
            raise RequestError(f"the form has {', '.join(_FIELDS)}, each once at most.")
        fields[name] = await value.read() if isinstance(value, UploadFile) else value
    return fields
