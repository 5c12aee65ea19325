"""Limits on connections and on the heads of requests, over real sockets."""

import contextlib
import json
import resource
import socket
import threading
import time

import httpx2 as httpx
import pytest
import websockets.sync.client as websockets

from emo_serving.connections import ConnectionLimits

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def exchange(address, *parts):
    """Send parts; return everything that is received until the server closes."""
    received = b""
    with socket.create_connection(address, timeout=300) as connection:
        with contextlib.suppress(OSError):  # closed meanwhile
            for part in parts:
                connection.sendall(part)
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                received += data
    return received


CLOSE = b"Connection: close\r\n\r\n"
# A body of JSON is read whole before the request is answered.
CHUNKED = (
    b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def test_a_head_within_the_limit_is_accepted(serving):
    running = serving(max_head_bytes=20_000)
    found = exchange(running.address, HEAD, b"A: " + b"a" * 19_000 + b"\r\n", CLOSE)
    assert found.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "endless",
    [b"GET /" + b"a" * 400_000, HEAD + b"A: " + b"a" * 400_000, HEAD + b"A: b\r\n" * 70_000],
    ids=["url", "header", "headers"],
)
def test_a_head_beyond_the_limit_is_refused(serving, endless):
    running = serving(max_head_bytes=20_000)
    assert exchange(running.address, endless) in {b"", *_refusals(b"431")}
    assert httpx.get(running.url + "healthz").status_code == 200


def _refusals(status):
    reasons = {b"431": b"Request Header Fields Too Large", b"408": b"Request Timeout"}
    reasons |= {b"503": b"Service Unavailable"}
    line = b"HTTP/1.1 " + status + b" " + reasons[status]
    return {line + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"}


@pytest.mark.parametrize("begin", [b"", b"1;"], ids=["trailer", "chunk extension"])
def test_what_surrounds_a_chunked_body_has_the_same_limit(serving, begin):
    running = serving(max_head_bytes=20_000)
    endless = (begin or b"0\r\nA: ") + b"a" * 400_000
    assert exchange(running.address, CHUNKED, endless) == b""
    assert httpx.get(running.url + "healthz").status_code == 200


def test_a_body_may_be_longer_than_a_head(serving):
    running = serving(max_head_bytes=20_000)
    body = json.dumps({"text": "hola", "task": "text"}) + " " * 400_000
    reply = httpx.post(
        running.url + "v1/recognize", content=body, headers={"content-type": "application/json"}
    )
    assert reply.status_code == 200
    chunks = (body[at : at + 1000].encode() for at in range(0, len(body), 1000))
    reply = httpx.post(
        running.url + "v1/recognize", content=chunks, headers={"content-type": "application/json"}
    )
    assert reply.status_code == 200


@pytest.mark.parametrize("sent", [b"", b"GET /he", HEAD])
def test_a_head_that_does_not_arrive_in_time_is_refused(serving, sent):
    running = serving(head_timeout_s=0.3)
    assert exchange(running.address, sent) in _refusals(b"408")


def test_a_second_head_has_the_same_time(serving):
    running = serving(head_timeout_s=0.3)
    found = exchange(running.address, HEAD + b"\r\n", HEAD)
    assert found.startswith(b"HTTP/1.1 200")
    assert any(found.endswith(refusal) for refusal in _refusals(b"408"))


def test_an_unread_body_does_not_keep_the_connection(serving):
    running = serving(head_timeout_s=0.3)
    post = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345"
    found = exchange(running.address, post)
    assert found.startswith(b"HTTP/1.1 404")
    assert found.count(b"HTTP/1.1") == 1


def test_a_slow_answer_is_not_cut_by_the_time_for_heads(serving, held):
    running = serving(held.open, head_timeout_s=0.2)
    held.go.clear()

    release = threading.Timer(0.6, held.go.set)
    release.start()
    reply = httpx.post(running.url + "v1/recognize", json={"text": "hola"}, timeout=300)
    release.join()
    assert reply.status_code == 200


def open_connections(running, count):
    """Open connections, and send nothing."""
    return [socket.create_connection(running.address, timeout=300) for _ in range(count)]


@pytest.mark.parametrize("limits", [{"max_connections": 3}, {"max_connections_per_client": 3}])
def test_connections_have_a_limit(serving, limits):
    running = serving(**limits)
    with contextlib.ExitStack() as stack:
        for connection in open_connections(running, 3):
            stack.enter_context(connection)
        assert exchange(running.address) in _refusals(b"503")
        assert running.service.admission.refused["connections"] >= 1
    while True:  # until the server has noticed that they are closed
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(running.url + "healthz").status_code == 200:
                break


def test_live_calls_count_as_connections_and_release_them(serving):
    running = serving(max_connections=2)
    url = running.url.replace("http", "ws") + "v1/stream"
    for _ in range(3):
        with websockets.connect(url), websockets.connect(url):
            assert exchange(running.address) in _refusals(b"503")
        while running.service.admission.counts.total("connections"):
            time.sleep(0.01)


def test_a_trusted_proxy_has_no_limit(serving):
    running = serving(max_connections_per_client=1, trusted_proxies=("127.0.0.0/8",))
    with contextlib.ExitStack() as stack:
        for connection in open_connections(running, 3):
            stack.enter_context(connection)
        assert httpx.get(running.url + "healthz").status_code == 200


def test_the_limit_leaves_file_descriptors_for_other_things(serving):
    running = serving(max_connections=1 << 40)
    limits = ConnectionLimits(running.service)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert limits.usable_descriptors == soft - 64


def test_half_sent_bodies_hold_no_slot(serving):
    """A server with one thread and no queue, and twenty clients that never send the rest."""
    started = serving(max_waiting=0, upload_timeout_s=300.0)
    head = b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    half = head + b'Content-Length: 15\r\n\r\n{"text":'
    slow = [socket.create_connection(started.address) for _ in range(20)]
    try:
        for each in slow:
            each.sendall(half)
        reply = httpx.post(f"{started.url}v1/recognize", json={"text": "hola"}, timeout=300)
        assert reply.status_code == 200
        slow[0].sendall(b'"hola"}')
        assert slow[0].recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for each in slow:
            each.close()
