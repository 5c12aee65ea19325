"""emo-serve --ray: replicas give the same answers; no answer is lost if a replica is killed."""

import asyncio
import base64
import json
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest
import websockets

from helpers.processes import wait_until
from helpers.servers import running_server
from studies.processes import ray_folder, ray_processes

TEXT = "¡Llevo tres semanas esperando una solución!"
TOKEN = "s3creto-de-nadie"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def folder():
    with ray_folder() as made:
        yield made


@pytest.fixture(scope="module")
def server(folder):
    variables = {"RAY_TMPDIR": str(folder), "EMO_SERVE_TOKEN": TOKEN}
    with running_server("--ray", "--min-replicas", "2", **variables) as running:
        yield running
        assert running.stop() == 0
        wait_until(lambda: ray_processes(folder) == [])


def test_answers_and_refusals_are_those_of_one_machine(server, recognizer, clip):
    with httpx.Client(base_url=server.url, headers=HEADERS, timeout=600) as client:
        body = {"text": TEXT, "audio": base64.b64encode(clip).decode()}
        assert (
            client.post("/v1/recognize", json=body).json()["scores"]
            == recognizer.recognize(TEXT, clip).scores
        )
        refused = client.post("/v1/recognize", json={"text": " "})
        assert (refused.status_code, refused.json()["error"]["kind"]) == (422, "TextError")
        assert "Traceback" not in refused.text
        assert client.get("/v1/bundle").json()["threads"]["count"] == 1
    assert httpx.get(server.url + "v1/bundle").status_code == 401


def test_a_live_call_ends_with_the_librarys_answer(server, recognizer):
    async def call():
        url = server.url.replace("http", "ws") + "v1/stream"
        async with websockets.connect(url, additional_headers=HEADERS) as live:
            start = {"customParameters": {"text": TEXT}}
            await live.send(json.dumps({"event": "start", "start": start}))
            await live.send(json.dumps({"event": "stop"}))
            return json.loads(await live.recv())

    event = asyncio.run(call())
    assert event["final"]
    assert event["answer"]["scores"] == recognizer.recognize(TEXT).scores


def test_no_request_is_lost_with_a_recognizer(server, folder, recognizer):
    expected = recognizer.recognize(TEXT).scores
    enough = threading.Event()

    def call(client):
        found = []
        while not enough.is_set():
            reply = client.post("/v1/recognize", json={"text": TEXT})
            found.append(reply.status_code == 200 and reply.json()["scores"] == expected)
        return found

    with (
        httpx.Client(base_url=server.url, headers=HEADERS, timeout=600) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        callers = [pool.submit(call, client) for _ in range(4)]
        victims = ray_processes(folder, "ray::ServeReplica:emo:recognizer")
        assert victims
        for victim in victims:
            assert not enough.wait(0.5)
            os.kill(victim, signal.SIGKILL)
        assert not enough.wait(1)
        enough.set()
        found = [answer for caller in callers for answer in caller.result()]
    assert all(found)
    assert len(found) > 4


def test_ray_logs_neither_the_token_nor_transcripts(server, folder):
    files = [path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]
    assert any("serve" in path.parts for path in files)
    for path in files:
        data = path.read_bytes()
        assert TOKEN.encode() not in data, path
        assert TEXT.encode() not in data, path
