"""The server as a process: graceful shutdown, unix socket, TLS, proxy headers, its log."""

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
import websockets

from helpers.processes import run_python
from helpers.servers import running_server

SECRET = "una frase muy privada"


def test_sigterm_under_load_loses_no_answer(recognizer):
    expected = recognizer.recognize(SECRET).scores
    stopping = threading.Event()

    def call_until_the_end(url):
        """Return the number of answers, and what else happened than a refused connection."""
        answers, others = 0, []
        with httpx.Client(base_url=url, timeout=300) as client:
            while True:
                try:
                    reply = client.post("/v1/recognize", json={"text": SECRET})
                except httpx.ConnectError:
                    return answers, others
                except httpx.TransportError as error:
                    others.append(repr(error))
                    return answers, others
                if reply.status_code != 200 or reply.json()["scores"] != expected:
                    others.append(reply.text)
                answers += 1
                if answers == 20:
                    stopping.set()

    with running_server("--threads", "2") as server:
        with ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(call_until_the_end, server.url) for _ in range(4)]
            assert stopping.wait(300)
            assert server.stop() == 0
            found = [caller.result() for caller in callers]
        assert [others for _, others in found] == [[]] * 4
        assert all(answers for answers, _ in found)
        assert server.log[0] == server.url + "\n"
        assert all(json.loads(line)["event"] == "request" for line in server.log[1:])
        assert not any(SECRET in line for line in server.log)


def test_a_live_call_ends_with_its_answer_after_sigterm(recognizer):
    async def call(server):
        async with websockets.connect(server.url.replace("http", "ws") + "v1/stream") as live:
            parameters = {"customParameters": {"text": SECRET}}
            await live.send(json.dumps({"event": "start", "start": parameters}))
            await live.send(json.dumps({"event": "mark"}))
            await live.recv()
            server.process.terminate()
            await asyncio.sleep(1.5)
            await live.send(json.dumps({"event": "stop"}))
            return json.loads(await live.recv())

    with running_server("--drain-s", "60") as server:
        event = asyncio.run(call(server))
        assert event["answer"]["scores"] == recognizer.recognize(SECRET).scores
        assert server.process.wait(300) == 0


def test_a_running_request_is_answered_after_sigterm_and_new_connections_are_refused(held, serving):
    running = serving(held.open, grace_s=0.2, drain_s=300.0)
    held.go.clear()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(
            httpx.post, f"{running.url}v1/recognize", json={"text": "hola"}, timeout=300
        )
        while not running.service.admission.calls:
            time.sleep(0.01)
        running.stop()
        refused = False
        while not refused:
            try:
                assert httpx.get(f"{running.url}readyz", timeout=300).status_code == 503
            except httpx.TransportError:
                refused = True
        assert running.thread.is_alive()
        held.go.set()
        assert call.result().status_code == 200
    running.join()


def test_a_connection_in_the_systems_queue_is_accepted_when_the_server_stops_listening(
    held, serving
):
    running = serving(held.open, drain_s=30.0)
    blocked, connected = threading.Event(), threading.Event()
    drained = running.server._is_drained

    async def is_drained():
        """Block the event loop: a connection made now waits in the system's queue."""
        blocked.set()
        assert connected.wait(300)
        return await drained()

    running.server._is_drained = is_drained
    running.stop()
    assert blocked.wait(300)
    with socket.create_connection(running.address, timeout=300) as caller:
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: emo\r\n\r\n")
        connected.set()
        assert caller.recv(12) == b"HTTP/1.1 200"
    running.join()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(running.address, timeout=300)


def test_a_port_in_use_is_reported_in_one_line(server):
    done = run_python("-m", "emo_serving.cli", "--port", str(server.port))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Address already in use" in done.stderr
