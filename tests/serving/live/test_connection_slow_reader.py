"""A client that sends and never reads is disconnected, so that its events do not accumulate."""

import asyncio
import itertools
import json

from starlette.websockets import WebSocket

from emo_serving.live.connection import answer_live
from emo_serving.service import Service
from emo_serving.settings import Settings
from helpers.corpora import SMALL_BUNDLE


def test_a_slow_reader_is_disconnected():
    service = Service(Settings(bundle=str(SMALL_BUNDLE), threads=1, send_timeout_s=0.2))
    begin = {"event": "start", "start": {"customParameters": {"text": "hola"}}}
    asked = itertools.count()
    sent = []

    async def receive():
        number = next(asked)
        if number == 0:
            return {"type": "websocket.connect"}
        message = begin if number == 1 else {"event": "mark"}
        return {"type": "websocket.receive", "text": json.dumps(message)}

    async def send(message):
        sent.append(message)
        if message["type"] == "websocket.send" and len(sent) > 3:
            await asyncio.Event().wait()  # its buffers are full

    async def call():
        scope = {"type": "websocket", "headers": [], "query_string": b"", "subprotocols": []}
        async with asyncio.timeout(300):
            await answer_live(WebSocket(scope, receive, send), service)

    asyncio.run(call())
    service.close()
    kinds = [message["type"] for message in sent]
    assert kinds == ["websocket.accept", *["websocket.send"] * 3, "websocket.close"]
    assert (sent[-1]["code"], sent[-1]["reason"]) == (1008, "slow reader")
    assert next(asked) == 5, "further messages are not read"
    assert service.admission.streams == 0
