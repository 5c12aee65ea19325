"""The protocol that uvicorn hands a WebSocket's handshake to: an ASGI application behind it."""

import asyncio
import email.utils
import logging
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from emo_serving.errors import log_unexpected
from emo_serving.live.transport import Disconnected, offer_transport
from emo_serving.websocket.connection import WebSocketConnection

_NORMAL, _ABNORMAL, _INTERNAL_ERROR, _RESTART = 1000, 1006, 1011, 1012
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

_silent = logging.getLogger("uvicorn.error")  # of errors that clients cause

Message = dict[str, Any]


class WebSocketProtocol(asyncio.Protocol):
    """A WebSocket for uvicorn: the handshake by ``websockets``, then ``WebSocketConnection``.

    The application may use the connection itself (``transport_of``) or the messages of ASGI.
    """

    def __init__(
        self, *, config: Config, server_state: ServerState, app_state: dict[str, Any]
    ) -> None:
        self._config = config
        self._app: Any = config.loaded_app
        self._app_state = app_state
        self._state = server_state
        self._handshake = ServerProtocol(logger=_silent)
        self._response: Response | None = None
        self._refusal: Message | None = None
        self._connection: WebSocketConnection | None = None
        self._connect_sent = False
        self._responded = False
        self._closed = asyncio.Event()
        self.client: tuple[str, int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection was upgraded; the head of its request follows."""
        self.transport = cast(asyncio.Transport, transport)
        self.client = get_remote_addr(self.transport)
        self._state.connections.add(cast(Any, self))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The connection is closed."""
        self._state.connections.discard(cast(Any, self))
        self._closed.set()
        if self._connection is not None:
            self._connection.connection_lost()

    def data_received(self, data: bytes) -> None:
        """Take the head of the request, then frames."""
        if self._connection is not None:
            self._connection.data_received(data)
        elif self._response is None:
            self._handshake.receive_data(data)
            self._begin()
        elif not self.transport.is_closing():  # frames before the handshake's response
            self._reject()

    def eof_received(self) -> None:
        """Let the connection be closed."""

    def pause_writing(self) -> None:
        """The write buffer is full."""
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        if self._connection is not None:
            self._connection.resume_writing()

    def shutdown(self) -> None:
        """The server stops."""
        if self._connection is not None:
            self._connection.start_closing(_RESTART)
        elif not self._responded:
            self._respond(_plain(500))
        self.transport.close()

    def _begin(self) -> None:
        """Run the application for a valid handshake."""
        requests = self._handshake.events_received()
        if not requests:  # not a request that ``websockets`` accepts
            self._reject()
            return
        request = cast(Request, requests[0])
        self._response = self._handshake.accept(request)
        if self._response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._respond(self._response)
            self.transport.close()
            return
        task = asyncio.get_running_loop().create_task(self._run(self._scope(request)))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _scope(self, request: Request) -> Message:
        path, _, query = request.path.partition("?")
        root = self._config.root_path
        offered = request.headers.get_all("Sec-WebSocket-Protocol")
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self.transport) else "ws",
            "server": get_local_addr(self.transport),
            "client": self.client,
            "root_path": root,
            "path": root + unquote(path),
            "raw_path": (root + path).encode("ascii"),
            "query_string": query.encode("ascii"),
            "headers": [
                (name.encode("ascii").lower(), value.encode("ascii", "surrogateescape"))
                for name, value in request.headers.raw_items()
            ],
            "subprotocols": [each.strip() for value in offered for each in value.split(",")],
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    async def _run(self, scope: Message) -> None:
        """Run the application; the connection ends with it."""
        self._offer = scope
        try:
            await self._app(scope, self._receive, self._send)
        except Disconnected:
            pass
        except Exception as error:  # noqa: BLE001  (its message may quote a client's data)
            log_unexpected(error, "websocket", "")
        if self._connection is not None:
            self._connection.start_closing(_INTERNAL_ERROR)  # unless it was closed
        else:
            if not self._responded:
                self._respond(_plain(500))
            self.transport.close()

    async def _receive(self) -> Message:
        """Return the next message of ASGI."""
        if not self._connect_sent:
            self._connect_sent = True
            return {"type": "websocket.connect"}
        if self._connection is None:
            await self._closed.wait()
            return {"type": "websocket.disconnect", "code": _ABNORMAL}
        try:
            return await self._connection.receive(_asgi_message)
        except Disconnected:
            return {"type": "websocket.disconnect", "code": _NORMAL}

    async def _send(self, message: Message) -> None:
        """Send what the application sends. Raises Disconnected."""
        is_ended = self._closed.is_set() or self.transport.is_closing()
        if self._connection is None and is_ended:
            raise Disconnected
        match message["type"]:
            case "websocket.accept":
                self._accept(message)
            case "websocket.send" if self._connection is not None:
                await self._connection.send(message["text"])
            case "websocket.close" if self._connection is not None:
                code, reason = message.get("code", _NORMAL), message.get("reason") or ""
                self._connection.start_closing(code, reason)
            case "websocket.close":
                self._respond(_plain(403))
            case "websocket.http.response.start":
                self._refusal = message | {"body": b""}
            case "websocket.http.response.body" if self._refusal is not None:
                self._refusal["body"] += message.get("body", b"")
                if not message.get("more_body", False):
                    self._refuse(self._refusal)
            case other:
                raise RuntimeError(f"{other} is not expected here.")

    def _accept(self, message: Message) -> None:
        if self._response is None or self._responded:
            raise RuntimeError("this WebSocket can't be accepted.")
        headers = self._response.headers
        del headers["Date"]
        for name, value in (*self._state.default_headers, *message.get("headers", ())):
            headers[name.decode("latin-1")] = value.decode("latin-1")
        if message.get("subprotocol"):
            headers["Sec-WebSocket-Protocol"] = message["subprotocol"]
        self._respond(self._response)
        self._connection = WebSocketConnection(
            self.transport, self._config.ws_max_size, self._config.ws_ping_interval
        )
        offer_transport(self._offer, self._connection)

    def _refuse(self, start: Message) -> None:
        """Respond with a status instead of the upgrade."""
        headers = Headers(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
        )
        headers.setdefault("Date", email.utils.formatdate(usegmt=True))
        headers.setdefault("Connection", "close")
        headers.setdefault("Content-Length", str(len(start["body"])))
        status = HTTPStatus(start["status"])
        self._respond(Response(status.value, status.phrase, headers, start["body"]))

    def _reject(self) -> None:
        """Refuse what is not a handshake."""
        if not self._responded:
            self._responded = True
            self.transport.write(_BAD_REQUEST)
        self.transport.close()

    def _respond(self, response: Response) -> None:
        """Send the response to the handshake, once."""
        if self._responded or self.transport.is_closing():
            return
        self._responded = True
        self._handshake.send_response(response)
        self.transport.writelines([part for part in self._handshake.data_to_send() if part])


def _plain(status: int) -> Response:
    headers = Headers({"Connection": "close", "Content-Length": "0"})
    return Response(status, HTTPStatus(status).phrase, headers)


def _asgi_message(data: str | bytes) -> Message:
    return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}
