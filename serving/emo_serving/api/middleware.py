"""ASGI middleware: access rules, request ids, metrics, access log, safe error responses."""

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from emo_runtime import EmoError
from emo_serving.api.access import AccessRules
from emo_serving.context import RequestContext, begin_context
from emo_serving.errors import (
    MethodError,
    NotFoundError,
    RequestError,
    error_response,
    internal_error_response,
    log_unexpected,
)
from emo_serving.request_log import log_request
from emo_serving.service import Service
from emo_serving.settings import Settings
from emo_serving.tracing import record_span


class RequestMiddleware:
    """Checks each request, passes it to the router of ``app``, and counts and logs it.

    ``app.state.service`` must exist when the first request arrives.
    """

    def __init__(self, app: Starlette, settings: Settings) -> None:
        self.app = app
        self.routes, self.router = app.routes, app.router  # Ray Serve reads them for its metrics
        self._rules = AccessRules(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        scope["app"] = self.app
        if scope["type"] not in {"http", "websocket"}:
            await self.router(scope, receive, send)
            return
        service: Service = self.app.state.service
        context = begin_context(scope)
        out = _Outgoing(service, scope, send, context)
        try:
            context.client = self._rules.check(scope)
            if scope["type"] == "http" and scope["method"] == "POST":
                service.admission.check(context.client)
            await self.router(scope, receive, out.send)
        except EmoError as error:
            await out.refuse(error_response(error, scope["path"]), receive)
        except HTTPException as error:
            await out.refuse(_router_response(error, scope["path"]), receive)
        except Exception as error:  # noqa: BLE001  (its message may quote a client's data)
            log_unexpected(error, _route(scope), context.request_id)
            await out.refuse(internal_error_response(scope["path"]), receive)
        finally:
            out.finish()


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    """Raise NotFoundError: the router's default route, for HTTP and WebSocket."""
    raise NotFoundError("there is no such path.")


class _Outgoing:
    """Watches the messages of a response."""

    def __init__(self, service: Service, scope: Scope, send: Send, context: RequestContext) -> None:
        self._service = service
        self._scope = scope
        self._send = send
        self._context = context
        self._begun = time.perf_counter()
        self._status: int | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on, with the headers that every response has."""
        if message["type"].endswith("response.start"):
            self._status = message["status"]
            admission = self._service.admission
            _add_headers(message, self._context, close=admission.draining or admission.leaving)
        elif message["type"] == "websocket.accept":
            self._status = 101
            _add_headers(message, self._context, close=False)
        await self._send(message)

    async def refuse(self, response: Response, receive: Receive) -> None:
        """Send ``response`` unless a response has begun."""
        if self._status is None:
            await response(self._scope, receive, self.send)
        elif self._scope["type"] == "websocket" and self._status == 101:
            await self._send({"type": "websocket.close", "code": 1011})

    def finish(self) -> None:
        """Count and log the request; 499 means that the client disconnected first."""
        route, status = _route(self._scope), self._status or 499
        seconds = time.perf_counter() - self._begun
        metrics = self._service.metrics
        metrics.requests.labels(route, str(status)).inc()
        if self._scope["type"] == "http":
            metrics.seconds.labels(route).observe(seconds)
        attributes = {
            "http.request.method": self._scope.get("method", "GET"),
            "http.route": route,
            "http.response.status_code": status,
        }
        name = f"{attributes['http.request.method']} {route}"
        record_span(name, self._context, seconds, attributes)
        if self._service.settings.access_log:
            log_request(self._scope, self._context, route, status, seconds)


def _add_headers(
    message: MutableMapping[str, Any], context: RequestContext, *, close: bool
) -> None:
    headers = [
        *message.get("headers", ()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", context.request_id.encode()),
    ]
    if close:
        headers = [pair for pair in headers if pair[0].lower() != b"connection"]
        headers.append((b"connection", b"close"))
    message["headers"] = headers


def _router_response(error: HTTPException, path: str) -> Response:
    if error.status_code == 405:
        response = error_response(MethodError("the path does not support this method."), path)
        response.headers.update(error.headers or {})
        return response
    if error.status_code == 404:
        return error_response(NotFoundError("there is no such path."), path)
    return error_response(RequestError(error.detail), path)


def _route(scope: Scope) -> str:
    """Return the route's path: a path of the client's choice must not become a metric's label."""
    return str(getattr(scope.get("route"), "path", None) or "other")
