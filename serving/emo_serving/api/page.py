"""The web page and its files."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parents[1] / "page"
# Only the server's own resources and no inline code: a transcript can't become a script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def page(request: Request) -> Response:  # noqa: ARG001
    """Return the web page."""
    return FileResponse(FOLDER / "index.html", headers={"Content-Security-Policy": _POLICY})


ROUTES: list[BaseRoute] = [
    Route("/", page),
    Mount("/page", StaticFiles(directory=FOLDER), name="page"),
]
