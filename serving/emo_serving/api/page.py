"""The web page, its files, and its examples."""

import csv
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from emo_serving.api.openapi import as_json

FOLDER = Path(__file__).parents[1] / "page"
# Only the server's own resources and no inline code: a transcript can't become a script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Modules import each other: after an update, a browser must not combine old and new ones.
_NO_CACHE = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """The page's files; the browser asks whether its copies are current."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        """Return a file, or 304."""
        response = super().file_response(*arguments, **options)
        response.headers.update(_NO_CACHE)
        return response


async def page(request: Request) -> Response:  # noqa: ARG001
    """Return the web page."""
    headers = {"Content-Security-Policy": _POLICY, **_NO_CACHE}
    return FileResponse(FOLDER / "index.html", headers=headers)


async def examples(request: Request) -> Response:  # noqa: ARG001
    """Return the example clips with their transcripts, and the example call."""
    return as_json({"clips": _clips(FOLDER / "clips"), "call": _call(FOLDER / "call")})


def _clips(folder: Path) -> list[dict[str, str]]:
    table = folder / "clips.csv"
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{"file": f"{folder.name}/{row['audio']}", "text": row["text"]} for row in rows]


def _call(folder: Path) -> dict[str, Any] | None:
    audio, transcripts = folder / "call.flac", sorted(folder.glob("*.vtt"))
    if not audio.is_file() or not transcripts:
        return None
    names = [f"{folder.name}/{file.name}" for file in transcripts]
    return {"audio": f"{folder.name}/{audio.name}", "transcripts": names}


ROUTES: list[BaseRoute] = [
    Route("/", page),
    Route("/page/examples.json", examples),
    # In a source tree the examples are links to the project's folder of examples.
    Mount("/page", PageFiles(directory=FOLDER, follow_symlink=True), name="page"),
]
