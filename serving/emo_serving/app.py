"""The ASGI application, which uvicorn and Ray Serve run."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from emo_serving.api import health, open_inference, page, repository, timeline, v1
from emo_serving.api.middleware import RequestMiddleware, not_found
from emo_serving.api.openapi import as_json, build_document
from emo_serving.live import routes as live
from emo_serving.service import Service
from emo_serving.settings import Settings

_REQUEST_HEADERS = (
    *("Authorization", "Content-Type", "X-Request-ID", "traceparent"),
    "Inference-Header-Content-Length",
)
_RESPONSE_HEADERS = ("X-Request-ID", "Retry-After", "Inference-Header-Content-Length")
_ENDPOINTS = [
    *v1.ENDPOINTS,
    *timeline.ENDPOINTS,
    *live.ENDPOINTS,
    *health.ENDPOINTS,
    *open_inference.ENDPOINTS,
    *repository.ENDPOINTS,
]


class App:
    """The application: CORS for the allowed origins around the request middleware."""

    def __init__(self, requests: RequestMiddleware, settings: Settings) -> None:
        self.app = requests.app
        self.routes, self.router = requests.routes, requests.router  # Ray Serve reads them
        self._requests = requests
        self._cors = CORSMiddleware(
            requests,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_RESPONSE_HEADERS,
        )
        self._has_origins = bool(settings.origins)

    @property
    def service(self) -> Service:
        """The service behind the routes, once the application has started."""
        service: Service = self.app.state.service
        return service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection."""
        if self._has_origins and scope["type"] == "http":
            await self._cors(scope, receive, send)
        else:
            await self._requests(scope, receive, send)


def create_app(
    settings: Settings | None = None, make_service: Callable[[Settings], Service] = Service
) -> App:
    """Create the application. It opens the bundle at startup and closes it at shutdown."""
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.service = make_service(chosen)
        yield
        await app.state.service.webhooks.close()
        app.state.service.close()

    routes = [route for endpoint in _ENDPOINTS for route in endpoint.routes()]
    schema = Route("/openapi.json", _openapi)
    app = Starlette(routes=[*routes, *live.ROUTES, *page.ROUTES, schema], lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would go to the Host that the client named
    app.router.default = not_found
    app.state.openapi = build_document(_ENDPOINTS)
    return App(RequestMiddleware(app, chosen), chosen)


async def _openapi(request: Request) -> Response:
    document: dict[str, Any] = request.app.state.openapi
    return as_json(document)
