"""Connections that carry the messages of a live call."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

# WebSocket close codes (RFC 6455, 7.4.1, and its registry).
POLICY, TOO_BIG, RESTART, TRY_AGAIN_LATER = 1008, 1009, 1012, 1013

# ASGI extension of this server's own WebSocket protocol: the transport beneath the WebSocket.
_EXTENSION = "emo_serving.transport"

Taken = TypeVar("Taken")


class Disconnected(Exception):  # noqa: N818  (the usual end of a call, not an error)
    """The client closed the connection."""


class Transport(Protocol):
    """A connection with messages in both directions."""

    @property
    def is_connected(self) -> bool:
        """False once the client has closed the connection."""
        ...

    async def receive(self, take: Callable[[str | bytes], Taken | None]) -> Taken:
        """Call ``take`` with each message until it returns something, and return that.

        Most packets of a call only have to be stored: ``take`` does so without a task switch.

        Raises:
            Disconnected: The client has closed the connection, and no message is left.
            Exception: What ``take`` raises; the messages after that one are kept.
        """
        ...

    async def send(self, text: str) -> None:
        """Send a message. Raises Disconnected."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a code of WebSocket and a reason."""
        ...


def offer_transport(scope: Scope, transport: Transport) -> None:
    """Offer the transport beneath a WebSocket to the application."""
    scope["extensions"][_EXTENSION] = transport


def transport_of(socket: WebSocket) -> Transport:
    """Return the transport of an accepted WebSocket: the server's own, or messages of ASGI."""
    offered: Transport | None = socket.scope.get("extensions", {}).get(_EXTENSION)
    return AsgiTransport(socket) if offered is None else offered


class AsgiTransport:
    """An accepted WebSocket of any ASGI server."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    @property
    def is_connected(self) -> bool:
        """False once the client has closed the connection."""
        return self._socket.client_state is WebSocketState.CONNECTED

    async def receive(self, take: Callable[[str | bytes], Taken | None]) -> Taken:
        """Call ``take`` with each message until it returns something. Raises Disconnected."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise Disconnected
            text: str | None = message.get("text")
            taken = take((message.get("bytes") or b"") if text is None else text)
            if taken is not None:
                return taken

    async def send(self, text: str) -> None:
        """Send a message. Raises Disconnected."""
        try:
            await self._socket.send_text(text)
        except WebSocketDisconnect:
            raise Disconnected from None

    async def close(self, code: int, reason: str) -> None:
        """Close the connection, if neither side has closed it."""
        if self._socket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            await self._socket.close(code, reason)
        except (RuntimeError, WebSocketDisconnect):
            return
