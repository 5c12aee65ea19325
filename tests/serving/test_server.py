"""emo-serve as a process: its end, its log, its readers, its command line."""

import asyncio
import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
import websockets
from click.testing import CliRunner

from emo_serving.cli import main
from emo_serving.server import Server, listen
from emo_serving.service import Service
from emo_serving.settings import Settings
from helpers.corpora import DEFAULT_BUNDLE
from helpers.processes import run_python
from helpers.servers import running_server

SECRET = "una frase muy privada"


def test_sigterm_under_load_loses_no_answer(recognizer):
    expected = recognizer.recognize(SECRET).scores
    stopping = threading.Event()

    def call_until_the_end(url):
        """How many answers came, and what else happened than a refused connection."""
        answers, others = 0, []
        with httpx.Client(base_url=url, timeout=30) as client:
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
            assert stopping.wait(60)
            assert server.stop() == 0
            found = [caller.result() for caller in callers]
        assert [others for _, others in found] == [[]] * 4
        assert all(answers for answers, _ in found)
        assert server.log == [server.url + "\n"], "nothing a caller said, and no complaint"


def test_a_live_call_may_end_after_sigterm(recognizer):
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
        assert server.process.wait(30) == 0


def test_a_long_call_may_end_after_sigterm_while_nobody_new_comes_in(held):
    service = Service(Settings(bundle=str(DEFAULT_BUNDLE), threads=1, grace_s=0.2), held.open)
    listening = listen("127.0.0.1", 0, 60)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    ready = threading.Event()
    server = Server(service, ready.set)
    running = threading.Thread(target=server.run, args=([listening],))
    running.start()
    assert ready.wait(30)
    held.go.clear()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(httpx.post, f"{url}v1/recognize", json={"text": "hola"}, timeout=60)
        while not service.gate.calls:
            time.sleep(0.01)
        server.handle_exit(signal.SIGTERM, None)
        refused = False
        while not refused:
            try:
                assert httpx.get(f"{url}readyz", timeout=30).status_code == 503
            except httpx.TransportError:
                refused = True
        time.sleep(0.5)
        assert running.is_alive()
        held.go.set()
        assert call.result().status_code == 200
    running.join(30)
    assert not running.is_alive()


def test_who_has_connected_when_it_stops_listening_is_let_in(held):
    service = Service(Settings(bundle=str(DEFAULT_BUNDLE), threads=1, grace_s=0), held.open)
    listening = listen("127.0.0.1", 0, 60)
    address = listening.getsockname()
    ready, blocked, connected = threading.Event(), threading.Event(), threading.Event()
    server = Server(service, ready.set)
    running = threading.Thread(target=server.run, args=([listening],))
    running.start()
    assert ready.wait(30)
    drained = server._is_drained

    async def is_drained():
        """Accepts nobody for a while: a connection made now waits in the system's queue."""
        blocked.set()
        assert connected.wait(30)
        return await drained()

    server._is_drained = is_drained
    server.handle_exit(signal.SIGTERM, None)
    assert blocked.wait(30)
    with socket.create_connection(address, timeout=30) as caller:
        caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: emo\r\n\r\n")
        connected.set()
        assert caller.recv(12) == b"HTTP/1.1 200"
    running.join(30)
    assert not running.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=30)


def test_the_port_is_taken(server):
    done = run_python("-m", "emo_serving.cli", "--port", str(server.port))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "Address already in use" in done.stderr


@pytest.mark.parametrize(
    "options", [["--ray", "--threads", "2"], ["--min-replicas", "1"], ["--max-replicas", "4"]]
)
def test_options_of_the_other_way_to_serve(options):
    refused = CliRunner().invoke(main, options)
    assert refused.exit_code == 2
    assert "with --ray" in refused.stderr


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_token_is_no_token(tmp_path, content):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    done = run_python("-m", "emo_serving.cli", "--token-file", str(tmp_path / "token"))
    assert done.returncode == 1
    assert "holds no token" in done.stderr


def test_the_token_comes_from_the_environment_and_other_machines_are_warned_of():
    with running_server("--host", "0.0.0.0", EMO_SERVE_TOKEN="s3creto") as server:
        assert httpx.get(server.url + "v1/bundle").status_code == 401
    with running_server("--host", "0.0.0.0") as server:
        assert httpx.get(server.url + "v1/bundle").status_code == 200
        assert server.log[0].startswith("Warning: 0.0.0.0 is open")
