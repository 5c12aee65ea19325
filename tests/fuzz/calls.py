"""A live call for fuzzing: each line of the input is a message."""

import asyncio
import functools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from starlette.websockets import WebSocket

from emo_runtime import EmotionRecognizer
from emo_serving.live.connection import answer_live
from emo_serving.service import Service
from emo_serving.settings import Settings
from helpers.tiny import Tiny, write_bundle

SAMPLES = b"\0"


class InlineService(Service):
    """Use one thread only: the result of an input must not depend on timing."""

    async def in_thread(self, job: Any) -> Any:
        """At once."""
        return job()


@functools.cache
def _service() -> tuple[InlineService, asyncio.Runner]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_bundle(Path(folder, "bundle"), Tiny(n_mfcc=13, hidden=4))
        opened = functools.partial(EmotionRecognizer.open, self_test=False)
        settings = Settings(bundle=str(bundle), threads=1, max_stream_s=2.0)
        return InlineService(settings, opened), asyncio.Runner()


def answer(data: bytes) -> None:
    """Check that every event is an answer or an error, and that no exception ends a connection."""
    service, runner = _service()
    messages = iter([{"type": "websocket.connect"}, *map(_message, data.split(b"\n"))])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages, {"type": "websocket.disconnect", "code": 1000})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [], "query_string": b"", "subprotocols": []}
    runner.run(answer_live(WebSocket(scope, receive, send), service))
    assert service.admission.streams == 0
    for message in sent:
        if message["type"] == "websocket.send":
            _check(json.loads(message["text"]))


def _message(line: bytes) -> dict[str, Any]:
    if line.startswith(SAMPLES):
        return {"type": "websocket.receive", "bytes": line[len(SAMPLES) :]}
    return {"type": "websocket.receive", "text": line.decode("utf-8", "replace")}


def _check(event: dict[str, Any]) -> None:
    if event["event"] == "error":
        assert event["error"]["message"]
        return
    assert event["event"] == "emotion"
    assert math.isclose(sum(event["answer"]["scores"].values()), 1, abs_tol=1e-3)
