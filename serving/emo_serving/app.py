"""The application, put together: the same under uvicorn and under Ray Serve."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.types import ASGIApp

from emo_runtime import EmoError, __version__
from emo_serving.api import health
from emo_serving.api import open_inference as infer
from emo_serving.api import v1 as recognize
from emo_serving.api.fast_path import FastPath
from emo_serving.api.middleware import RequestMiddleware
from emo_serving.api.schemas import UtteranceBody
from emo_serving.errors import error_response, http_error_response, internal_error_response
from emo_serving.live.connection import answer_live
from emo_serving.service import Service
from emo_serving.settings import Settings

PAGE = Path(__file__).parent / "page"
# Nothing from elsewhere, nothing inline: what a transcript says can't become code.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ABOUT = "Which emotion a Spanish utterance expresses, from its sound, its transcript, or both."


def create_app(
    settings: Settings | None = None, make_service: Callable[[Settings], Service] = Service
) -> ASGIApp:
    """The ASGI application. The bundle is opened when it starts, and let go when it ends."""
    app = _described(settings, make_service)
    return RequestMiddleware(app, FastPath(app, recognize.router.routes))


def _described(settings: Settings | None, make_service: Callable[[Settings], Service]) -> FastAPI:
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = make_service(chosen)
        yield
        app.state.service.close()

    app = FastAPI(
        title="emo-runtime",
        version=__version__,
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    for part in (recognize, health, infer):
        app.include_router(part.router)
    app.add_api_websocket_route("/v1/stream", _stream)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.add_exception_handler(EmoError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(Exception, on_unexpected)
    app.openapi = _with_body_schemas(app.openapi)  # type: ignore[method-assign]
    return app


async def _stream(socket: WebSocket) -> None:
    await answer_live(socket, socket.app.state.service)


async def _page() -> Response:
    """The page for people."""
    return FileResponse(PAGE / "index.html", headers={"Content-Security-Policy": _POLICY})


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, EmoError):
        raise error
    return error_response(error, request.url.path)


async def _refuse_route(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    return http_error_response(error.status_code, error.detail, request.url.path, headers)


async def on_unexpected(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Answer an unexpected exception with a 500 that reveals nothing."""
    return internal_error_response(request.url.path)


def _with_body_schemas(make: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Routes that read their body for themselves name its schema, which FastAPI doesn't know."""

    def openapi() -> dict[str, Any]:
        document = make()
        schemas = document["components"]["schemas"]
        schemas.setdefault(UtteranceBody.__name__, UtteranceBody.model_json_schema())
        return document

    return openapi
