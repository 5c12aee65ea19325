"""Connections that carry the messages of a live call."""

from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

# WebSocket close codes (RFC 6455, 7.4.1, and its registry).
POLICY, TOO_BIG, RESTART, TRY_AGAIN_LATER = 1008, 1009, 1012, 1013


class Disconnected(Exception):  # noqa: N818  (the usual end of a call, not an error)
    """The client closed the connection."""


class Transport(Protocol):
    """A connection with messages in both directions."""

    @property
    def is_connected(self) -> bool:
        """False once the client has closed the connection."""
        ...

    async def receive(self) -> str | bytes:
        """Return the next message. Raises Disconnected."""
        ...

    async def send(self, text: str) -> None:
        """Send a message. Raises Disconnected."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a code of WebSocket and a reason."""
        ...


class WebSocketTransport:
    """An accepted WebSocket."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    @property
    def is_connected(self) -> bool:
        """False once the client has closed the connection."""
        return self._socket.client_state is WebSocketState.CONNECTED

    async def receive(self) -> str | bytes:
        """Return the next message. Raises Disconnected."""
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise Disconnected
        text: str | None = message.get("text")
        return (message.get("bytes") or b"") if text is None else text

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
