"""Errors of a request, their HTTP status codes, and the JSON form of error responses."""

import logging
import traceback
from typing import Any

import msgspec
from starlette.responses import Response

from emo_runtime import (
    ArgumentError,
    AudioError,
    ClosedError,
    EmoError,
    OverloadedError,
    TaskError,
    TextError,
)

logger = logging.getLogger("emo_serving")

RETRY_AFTER_S = 1
INTERNAL_ERROR = "internal server error; see the server log."


class RequestError(EmoError):
    """A malformed request."""


class TooLargeError(EmoError):
    """A request beyond one of the server's limits."""


class MediaTypeError(EmoError):
    """A body of an unsupported media type or content encoding."""


class UnauthorizedError(EmoError):
    """The bearer token is missing or wrong."""


class OriginError(EmoError):
    """A request of a web page whose origin isn't allowed."""


class HostError(EmoError):
    """A request for a host name that isn't allowed."""


class SlowUploadError(EmoError):
    """The body of a request did not arrive in time."""


class UnavailableError(EmoError):
    """The server is stopping, or the answer took too long."""


class NotFoundError(EmoError):
    """There is no such path, model or call."""


class UnknownBundleError(NotFoundError):
    """There is no bundle of this name."""


class ControlError(EmoError):
    """Loading or unloading a bundle is not permitted."""


class LoadError(EmoError):
    """A bundle that can't be opened, or that fails its self-test."""


class MethodError(EmoError):
    """The path exists and does not support the HTTP method."""


_STATUS: dict[type[EmoError], int] = {
    RequestError: 422,
    LoadError: 422,
    ArgumentError: 422,
    AudioError: 422,
    TextError: 422,
    TaskError: 422,
    UnauthorizedError: 401,
    OriginError: 403,
    ControlError: 403,
    NotFoundError: 404,
    MethodError: 405,
    SlowUploadError: 408,
    TooLargeError: 413,
    MediaTypeError: 415,
    HostError: 421,
    OverloadedError: 429,
    ClosedError: 503,
    UnavailableError: 503,
}
# After these the rest of the request's body is not read, so the connection can't be used again.
_CLOSING = {408, 413}


def status_of(error: EmoError) -> int:
    """Return the HTTP status code of an error."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def body_of(error: EmoError) -> dict[str, Any]:
    """Return ``{"kind", "message"}`` of an error."""
    return {"kind": type(error).__name__, "message": str(error)}


def error_response(error: EmoError, path: str = "") -> Response:
    """Return the response for a failed request; under /v2 in the Open Inference Protocol's form."""
    status = status_of(error)
    headers = {}
    if status in {429, 503}:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in _CLOSING:
        headers["Connection"] = "close"
    return _response(status, str(error), body_of(error), path, headers)


def internal_error_response(path: str) -> Response:
    """Return the response for an unexpected exception (500), without its message."""
    body = {"kind": "InternalServerError", "message": INTERNAL_ERROR}
    return _response(500, INTERNAL_ERROR, body, path, {})


def log_unexpected(error: BaseException, route: str, request_id: str = "") -> None:
    """Log type and stack of an unexpected exception; its message may quote a client's data."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames[::-1])
    logger.error("%s in %s (request %s): %s", type(error).__name__, route, request_id, where)


def _response(
    status: int, message: str, body: dict[str, Any], path: str, headers: dict[str, str]
) -> Response:
    document = {"error": message if path.startswith("/v2") else body}
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")
