"""What goes wrong in a request: typed, with its HTTP status, and told in one form everywhere."""

import logging
import traceback
from typing import Any

import msgspec
from starlette.responses import Response

from emo_runtime import AudioError, ClosedError, EmoError, OverloadedError, TaskError, TextError

logger = logging.getLogger("emo_serving")

RETRY_AFTER_S = 1


class RequestError(EmoError):
    """A request that is malformed, or asks for what is not there."""


class TooLargeError(EmoError):
    """A request beyond one of the server's limits."""


class MediaTypeError(EmoError):
    """A body in a form that is not understood."""


class UnauthorizedError(EmoError):
    """The bearer token is missing or wrong."""


class OriginError(EmoError):
    """A web page of another origin called."""


class SlowUploadError(EmoError):
    """The body of a request did not arrive in time."""


class UnavailableError(EmoError):
    """The server can't answer now: it is stopping, or the answer took too long."""


class NotFoundError(EmoError):
    """There is no such model or path."""


_STATUS: dict[type[EmoError], int] = {
    RequestError: 422,
    AudioError: 422,
    TextError: 422,
    TaskError: 422,
    UnauthorizedError: 401,
    OriginError: 403,
    NotFoundError: 404,
    SlowUploadError: 408,
    TooLargeError: 413,
    MediaTypeError: 415,
    OverloadedError: 429,
    ClosedError: 503,
    UnavailableError: 503,
}
_TITLES = {status: kind.__name__ for kind, status in reversed(_STATUS.items())}


def status_of(error: EmoError) -> int:
    """The HTTP status that says what ``error`` says."""
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)


def body_of(error: EmoError) -> dict[str, Any]:
    """``{"kind", "message"}`` of an error."""
    return {"kind": type(error).__name__, "message": str(error)}


def error_response(error: EmoError, path: str = "") -> Response:
    """The answer to a request that failed; in the Open Inference Protocol's form under /v2."""
    status = status_of(error)
    headers = {}
    if status in {429, 503}:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in {408, 413}:
        headers["Connection"] = "close"  # what is still to come of the body is not wanted
    return _response(status, str(error), body_of(error), path, headers)


def http_error_response(
    status: int, detail: str, path: str, headers: dict[str, str] | None = None
) -> Response:
    """The same form for what the router refuses (404, 405) and for an accident (500)."""
    kind = _TITLES.get(status, "RequestError" if status < 500 else "ServerError")
    return _response(status, detail, {"kind": kind, "message": detail}, path, headers or {})


def internal_error_response(path: str) -> Response:
    """The answer where something unexpected happened (500)."""
    return http_error_response(500, "the server made a mistake, which is in its log.", path)


def log_unexpected(error: BaseException, path: str) -> None:
    """Log where an unexpected error happened, without its message: that may quote a caller."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames[::-1])
    logger.error("%s in a call of %s: %s", type(error).__name__, path, where)


def _response(
    status: int, message: str, body: dict[str, Any], path: str, headers: dict[str, str]
) -> Response:
    document = {"error": message if path.startswith("/v2") else body}
    return Response(msgspec.json.encode(document), status, headers, media_type="application/json")
