"""The one way in: token, origin, admission, counting, and what may be said of an accident.

Plain ASGI around the application, so that what is refused costs next to nothing.
"""

import hmac
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emo_runtime import EmoError
from emo_serving.errors import (
    OriginError,
    UnauthorizedError,
    error_response,
    internal_error_response,
    log_unexpected,
)
from emo_serving.service import Service

# A page and probes give nothing away and come without a token.
_OPEN = ("/", "/page/", "/healthz", "/readyz", "/v2/health/")
# How a browser's WebSocket, which can't set headers, sends the token.
SUBPROTOCOL = "emo-stream"
TOKEN_PREFIX = "bearer."  # noqa: S105  (not a secret)


class RequestMiddleware:
    """Lets in who may come in to ``inside``, the rest of ``app``.

    ``app.state.service`` must be there when the first one comes.
    """

    def __init__(self, app: FastAPI, inside: ASGIApp) -> None:
        self.app = app
        self.routes, self.router = app.routes, app.router  # Ray Serve names its metrics by them
        self._inside = inside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in {"http", "websocket"}:
            await self._inside(scope, receive, send)
            return
        service: Service = self.app.state.service
        out = _Outgoing(service, scope, send)
        try:
            _check_token(service.settings.token, scope)
            _check_origin(service.settings.origins, scope)
            if scope["type"] == "http" and scope["method"] == "POST":
                with service.gate.call():
                    await self._inside(scope, receive, out.send)
            else:
                await self._inside(scope, receive, out.send)
        except EmoError as error:
            await out.refuse(error_response(error, scope["path"]), receive)
        except Exception as error:  # noqa: BLE001  (whatever it is, its message stays here)
            log_unexpected(error, _route(scope))
            await out.refuse(internal_error_response(scope["path"]), receive)
        finally:
            out.count()


class _Outgoing:
    """What goes out, watched: its status, and whether it has begun."""

    def __init__(self, service: Service, scope: Scope, send: Send) -> None:
        self._service = service
        self._scope = scope
        self._send = send
        self._begun = time.perf_counter()
        self._status: int | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on; a stopping server asks that the connection be not used again."""
        if message["type"].endswith("response.start"):
            self._status = message["status"]
            _protect(message, close=self._service.gate.draining)
        elif message["type"] == "websocket.accept":
            self._status = 101
        await self._send(message)

    async def refuse(self, response: Response, receive: Receive) -> None:
        """Answer with ``response``, unless an answer has begun."""
        if self._status is None:
            await response(self._scope, receive, self.send)
        elif self._scope["type"] == "websocket" and self._status == 101:
            await self._send({"type": "websocket.close", "code": 1011})

    def count(self) -> None:
        """Count the request as what it became."""
        route = _route(self._scope)
        self._service.requests.labels(route, str(self._status or 499)).inc()
        if self._scope["type"] == "http":
            self._service.seconds.labels(route).observe(time.perf_counter() - self._begun)


def _protect(message: MutableMapping[str, Any], *, close: bool) -> None:
    headers = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
    if close:
        headers = [pair for pair in headers if pair[0].lower() != b"connection"]
        headers.append((b"connection", b"close"))
    message["headers"] = headers


def _route(scope: Scope) -> str:
    """The route's own path: what a caller made up must not become a label."""
    route = scope.get("route")
    return str(getattr(route, "path", None) or "other")


def _check_token(token: str | None, scope: Scope) -> None:
    path = scope["path"]
    is_open = path == "/" or any(path.startswith(prefix) for prefix in _OPEN[1:])
    if token is None or is_open:
        return
    kind, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        offered = [name for name in scope.get("subprotocols", ()) if name.startswith(TOKEN_PREFIX)]
        given = offered[0].removeprefix(TOKEN_PREFIX) if offered else ""
    if not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise UnauthorizedError("send the server's token as 'Authorization: Bearer TOKEN'.")


def _check_origin(allowed: tuple[str, ...], scope: Scope) -> None:
    """Pages of other sites must not use a visitor's browser to talk to a server of hers."""
    if scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}:
        return
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is None or origin in allowed:
        return
    try:
        own = urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        own = False
    if not own:
        raise OriginError(
            "pages of this origin may not call this server: its owner can allow them (--origin)."
        )
