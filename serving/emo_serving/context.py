"""Context of a request for routes and logs, set by the middleware."""

import re
import secrets
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import Scope

from emo_serving.admission import ANYONE, Client

_KEY = "emo_serving"
_REQUEST_ID = re.compile(r"[\w.:+/=@-]{1,128}", re.ASCII)
# W3C Trace Context: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass
class RequestContext:
    """Identifiers of a request, and the client that sent it."""

    request_id: str
    trace_id: str | None = None
    parent_id: str | None = None
    trace_flags: int = 0
    client: Client = ANYONE


def begin_context(scope: Scope) -> RequestContext:
    """Create the context of a request; X-Request-ID and traceparent are taken over if valid."""
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else new_request_id()
    context = RequestContext(request_id)
    trace = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    if trace and trace[0][:2] != "ff" and int(trace[1], 16) and int(trace[2], 16):
        context.trace_id, context.parent_id = trace[1], trace[2]
        context.trace_flags = int(trace[3], 16)
    scope[_KEY] = context
    return context


def new_request_id() -> str:
    """Return a random id."""
    return secrets.token_hex(8)


def context_of(scope: Scope) -> RequestContext:
    """Return the context of a request."""
    found = scope.get(_KEY)
    return found if isinstance(found, RequestContext) else RequestContext("")


def client_of(scope: Scope) -> Client:
    """Return the client of a request."""
    return context_of(scope).client
