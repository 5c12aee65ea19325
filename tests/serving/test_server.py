"""The server as a process: graceful shutdown, unix socket, TLS, proxy headers, its log."""

import asyncio
import io
import json
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
import websockets

from emo_runtime import ArgumentError
from emo_serving.request_log import writing_log
from emo_serving.server import listen_unix
from emo_serving.tls import Tls
from helpers.certificates import write_certificate
from helpers.processes import run_python, wait_until
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


def test_https_and_wss_with_the_given_certificate(tmp_path):
    certificate, key = write_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def call(port):
        url = f"wss://localhost:{port}/v1/stream"
        async with websockets.connect(url, ssl=trusting) as live:
            await live.send(json.dumps({"event": "start"}))
            await live.send(json.dumps({"event": "transcript", "transcript": {"text": SECRET}}))
            await live.send(json.dumps({"event": "stop"}))
            return json.loads(await live.recv())

    with running_server("--tls-cert", str(certificate), "--tls-key", str(key)) as server:
        address = f"https://127.0.0.1:{server.port}/"
        assert server.log[0] == address + "\n"
        with httpx.Client(verify=trusting, timeout=300) as client:
            assert client.get(address + "readyz").status_code == 200
            with pytest.raises(httpx.TransportError):
                client.get(server.url + "readyz")  # without TLS
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(address + "readyz", verify=ssl.create_default_context(), timeout=300)
        assert asyncio.run(call(server.port))["final"]


def test_a_key_of_another_certificate_is_reported_in_one_line(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    certificate, _ = write_certificate(tmp_path / "one")
    _, key = write_certificate(tmp_path / "other")
    done = run_python(
        *("-m", "emo_serving.cli", "--port", "0"),
        *("--tls-cert", certificate, "--tls-key", key),
    )
    assert done.returncode == 1
    assert "private key, in PEM" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_encrypted_key_is_refused_without_a_prompt(tmp_path):
    certificate, key = write_certificate(tmp_path, password=b"secret")
    with pytest.raises(ArgumentError, match="unencrypted private key"):
        Tls(certificate, key).check()


def test_a_unix_socket_behind_a_proxy(tmp_path):
    path = tmp_path / "emo.sock"
    with running_server("--unix-socket", str(path), "--proxy-headers", "*") as server:
        assert server.log[0] == f"unix:{path}\n"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=300) as client:
            headers = {"x-forwarded-for": "192.0.2.7"}
            reply = client.get("http://localhost/v1/bundle", headers=headers)
            assert reply.status_code == 200
        wait_until(lambda: len(server.log) > 1)
        assert json.loads(server.log[1])["client"] == "192.0.2.7"
        assert server.stop() == 0
        assert not path.exists()


def test_an_abandoned_unix_socket_is_replaced_and_one_in_use_is_not(tmp_path):
    path = tmp_path / "emo.sock"
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(path))
    with listen_unix(path) as listening:
        with pytest.raises(OSError, match="in use"), listen_unix(path):
            pass
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(path))
            listening.accept()[0].close()
    assert not path.exists()


def test_a_file_at_the_path_of_the_unix_socket_is_kept(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes", encoding="utf-8")
    with pytest.raises(OSError, match=r"notes\.txt: .*in use"), listen_unix(path):
        pass
    assert path.read_text(encoding="utf-8") == "notes"


@pytest.mark.parametrize(
    ("proxies", "client"),
    [
        (("127.0.0.1",), "192.0.2.7"),
        (("127.0.0.0/8",), "192.0.2.7"),
        (("10.0.0.1", "*"), "192.0.2.7"),
        (("10.0.0.0/8",), "127.0.0.1"),
        ((), "127.0.0.1"),
    ],
)
def test_forwarded_addresses_of_trusted_proxies_only(serving, proxies, client):
    stream = io.StringIO()
    with writing_log(stream):
        running = serving(trusted_proxies=proxies, access_log=True)
        reply = httpx.get(f"{running.url}readyz", headers={"x-forwarded-for": "192.0.2.7"})
        assert reply.status_code == 200
        wait_until(lambda: "\n" in stream.getvalue())
    assert json.loads(stream.getvalue())["client"] == client
