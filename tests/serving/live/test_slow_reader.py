"""A caller that asks and never reads: closed, not buffered without end."""

import asyncio
import itertools
import json

from starlette.websockets import WebSocket

from emo_serving.live.connection import answer_live
from emo_serving.service import Service
from emo_serving.settings import Settings
from helpers.corpora import DEFAULT_BUNDLE


def test_a_reader_that_is_behind_is_closed():
    service = Service(Settings(bundle=str(DEFAULT_BUNDLE), threads=1, send_timeout_s=0.2))
    begin = {"event": "start", "start": {"customParameters": {"text": "hola"}}}
    asked = itertools.count()
    sent = []

    async def receive():
        number = next(asked)
        if number == 0:
            return {"type": "websocket.connect"}
        said = begin if number == 1 else {"event": "mark"}
        return {"type": "websocket.receive", "text": json.dumps(said)}

    async def send(message):
        sent.append(message)
        if message["type"] == "websocket.send" and len(sent) > 3:
            await asyncio.Event().wait()  # its buffers are full

    async def call():
        scope = {"type": "websocket", "headers": [], "subprotocols": []}
        async with asyncio.timeout(30):
            await answer_live(WebSocket(scope, receive, send), service)

    asyncio.run(call())
    service.close()
    kinds = [message["type"] for message in sent]
    assert kinds == ["websocket.accept", *["websocket.send"] * 3, "websocket.close"]
    assert (sent[-1]["code"], sent[-1]["reason"]) == (1008, "slow reader")
    assert next(asked) == 5, "what it goes on asking is not even read"
    assert service.gate.streams == 0
