"""The WebSocket protocol behind the real server: handshakes, refusals, and clients that violate."""

import asyncio
import base64
import hashlib
import json
import socket
from types import SimpleNamespace
from unittest.mock import Mock

import httpx2 as httpx
import pytest
import websockets.sync.client as websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from emo_serving.websocket.frames import build_close, build_frame
from emo_serving.websocket.protocol import WebSocketProtocol
from serving.websocket.test_frames import frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3, and its response
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HEAD = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def shake(running, path="/v1/stream", **changed):
    """Send a handshake; return the connection, and the head of the response."""
    headers = {name: value for name, value in (HEAD | changed).items() if value is not None}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    connection = socket.create_connection(running.address, timeout=300)
    connection.sendall("\r\n".join([*lines, "\r\n"]).encode())
    reply = b""
    while b"\r\n\r\n" not in reply and (data := connection.recv(1)):
        reply += data
    return connection, reply


def until_closed(connection):
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def test_the_handshake_of_the_rfc(serving):
    digest = hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    assert base64.b64encode(digest) == ACCEPT
    offered = {"Sec-WebSocket-Protocol": "other, emo-stream", "X-Request-ID": "r1"}
    offered["Sec-WebSocket-Extensions"] = "permessage-deflate"
    connection, reply = shake(serving(), **offered)
    with connection:
        lines = reply.lower().split(b"\r\n")
        assert lines[0] == b"http/1.1 101 switching protocols"
        assert b"sec-websocket-accept: " + ACCEPT.lower() in lines
        assert b"sec-websocket-protocol: emo-stream" in lines
        assert b"x-request-id: r1" in lines
        assert b"sec-websocket-extensions" not in reply.lower()
        connection.sendall(frame(0x89, b"?") + frame(0x88, b"\x03\xe8"))
        assert until_closed(connection) == build_frame(0xA, b"?") + build_close(1000)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec-WebSocket-Version": "8"}, b"400"),
        ({"Sec-WebSocket-Key": "short"}, b"400"),
        ({"Sec-WebSocket-Key": None}, b"400"),
        ({"Host": "elsewhere.example"}, b"421"),
        ({"Origin": "http://elsewhere.example"}, b"403"),
    ],
)
def test_a_handshake_that_is_not_accepted(serving, changed, status):
    connection, reply = shake(serving(), **changed)
    with connection:
        assert reply.split()[1] == status
        until_closed(connection)


def test_refusals_have_a_body_and_a_status(serving):
    url = serving().url.replace("http", "ws")
    with pytest.raises(InvalidStatus) as caught:
        websockets.connect(url + "v1/stream/nothing")
    response = caught.value.response
    assert response.status_code == 404
    assert json.loads(response.body)["error"]["kind"] == "NotFoundError"


def test_a_call_in_fragments_with_pings_between(serving, recognizer):
    begin = {"start": {"customParameters": {"interval_ms": 60_000, "text": "hola"}}}
    with websockets.connect(serving().url.replace("http", "ws") + "v1/stream") as call:
        call.send(iter(['{"event": "sta', 'rt", ', json.dumps(begin)[1:]]))
        call.ping()
        call.send('{"event": "stop"}')
        event = json.loads(call.recv(300))
    assert event["answer"]["scores"] == recognizer.recognize("hola").scores


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (build_frame(1, b"unmasked"), 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x82, length=1 << 40) + bytes(300_000), 1009),
    ],
)
def test_a_violation_is_closed_with_its_code_and_hurts_nobody(serving, sent, code):
    running = serving()
    connection, _ = shake(running)
    with connection:
        connection.sendall(sent)
        reply = connection.recv(200)
        assert (reply[0], int.from_bytes(reply[2:4], "big")) == (0x88, code)
    assert httpx.get(running.url + "healthz").status_code == 200


def test_bytes_before_the_response_are_refused(serving):
    running = serving()
    for sent in (frame(0x89), bytes(1000)):
        head = "\r\n".join(["GET /v1/stream HTTP/1.1", *(f"{a}: {b}" for a, b in HEAD.items())])
        with socket.create_connection(running.address, timeout=300) as connection:
            connection.sendall(head.encode() + b"\r\n\r\n" + sent)
            assert connection.recv(12) in {b"HTTP/1.1 101", b"HTTP/1.1 400"}
    assert httpx.get(running.url + "healthz").status_code == 200


@pytest.mark.parametrize("end", ["bytes before the response", "shutdown"])
def test_a_handshake_that_ends_while_the_application_checks_it_is_no_error(end, caplog):
    async def main():
        go = asyncio.Event()

        async def application(scope, receive, send):
            await go.wait()
            await send({"type": "websocket.accept"})

        config = SimpleNamespace(loaded_app=application, root_path="", asgi_version="3.0")
        state = SimpleNamespace(connections=set(), tasks=set(), default_headers=[])
        transport = Mock(get_extra_info=Mock(return_value=None))
        transport.is_closing = lambda: transport.close.called
        protocol = WebSocketProtocol(config=config, server_state=state, app_state={})
        protocol.connection_made(transport)
        lines = ["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in HEAD.items()), "", ""]
        protocol.data_received("\r\n".join(lines).encode())
        [task] = state.tasks
        if end == "shutdown":
            protocol.shutdown()
        else:
            protocol.data_received(b"x")
        go.set()
        await task
        assert transport.close.called
        protocol.connection_lost(None)

    asyncio.run(main())
    assert caplog.records == []


def test_a_stopping_server_closes_with_1012(serving):
    running = serving()
    with websockets.connect(running.url.replace("http", "ws") + "v1/stream") as call:
        running.stop()
        with pytest.raises(ConnectionClosed) as caught:
            call.recv(300)
    assert caught.value.rcvd.code == 1012
    running.join()
