"""Limits on connections, and on the size and the time of request heads, for uvicorn's protocols.

uvicorn itself limits neither: an endless header fills the memory, and half a head keeps its
connection, and thus a file descriptor, without end.
"""

import asyncio
import sys
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from emo_serving.api.access import address_key
from emo_serving.service import Service
from emo_serving.websocket.protocol import WebSocketProtocol

# Descriptors for other things than connections: listening sockets, files, epoll.
_OTHER_DESCRIPTORS = 64
# A head is parsed in pieces of this size, so that the body that follows it is not counted.
_HEAD_PIECE = 4096
_TOO_LARGE = "431 Request Header Fields Too Large"
_BUSY = "503 Service Unavailable"
_TIMEOUT = "408 Request Timeout"


class ConnectionLimits:
    """Counts the open connections, in all and of each address."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.max_connections = settings.max_connections
        self.max_per_client = settings.max_connections_per_client
        self.max_head_bytes = settings.max_head_bytes
        self.head_timeout_s = settings.head_timeout_s
        self._proxies = [ip_network(proxy) for proxy in settings.trusted_proxies if proxy != "*"]
        self._all_are_proxies = "*" in settings.trusted_proxies
        self.usable_descriptors = _usable_descriptors()
        self._counts = service.admission.counts

    def acquire(self, address: str) -> bool:
        """Count a connection; False if it is beyond a limit."""
        counts, key = self._counts, address_key(address)
        with counts.locked():
            of_client = 0 if self._is_proxy(address) else counts.of_client("connections", key)
            if (
                counts.total("connections") >= self.max_connections
                or counts.own("connections") >= self.usable_descriptors
                or of_client >= self.max_per_client
            ):
                counts.refuse("connections")
                return False
            counts.add("connections", key, 1)
        return True

    def release(self, address: str) -> None:
        """Count a connection no longer."""
        with self._counts.locked():
            self._counts.add("connections", address_key(address), -1)

    def _is_proxy(self, address: str) -> bool:
        """True for a proxy: its connections are those of many clients."""
        if self._all_are_proxies or not address:
            return True
        if not self._proxies:
            return False
        return any(ip_address(address) in network for network in self._proxies)


def _usable_descriptors() -> int:
    """Return how many connections this process has file descriptors for."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource  # noqa: PLC0415  (not on Windows)

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else max(1, soft - _OTHER_DESCRIPTORS)


def http_protocol(limits: ConnectionLimits) -> Callable[..., asyncio.Protocol]:
    """Return uvicorn's HTTP protocol with these limits."""
    return lambda **options: LimitedHttpProtocol(limits, **options)


def websocket_protocol(limits: ConnectionLimits) -> Callable[..., asyncio.Protocol]:
    """Return the WebSocket protocol with these limits."""
    return lambda **options: LimitedWebSocketProtocol(limits, **options)


class LimitedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits on connections, and on all that is not the body of a request."""

    def __init__(self, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._address = ""
        self._counted = False
        self._upgraded = False
        self._in_head = True
        self._head_begun = False
        self._overhead_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, or refuse it."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._counted = self._limits.acquire(self._address)
        if self._counted:
            self._start_timer()
        else:
            self._reject(_BUSY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release what the connection holds."""
        self._stop_timer()
        self._release()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes in pieces; refuse a head, or chunk headers and trailers, beyond the limit."""
        if self._timer is None and self._in_head:
            self._start_timer()
        at, limit = 0, self._limits.max_head_bytes
        while at < len(data) and not self._upgraded and not self.transport.is_closing():
            piece = data[at : at + (_HEAD_PIECE if self._in_head else limit)]
            at += len(piece)
            self._overhead_bytes += len(piece)
            super().data_received(piece)
            if self._overhead_bytes > limit + _HEAD_PIECE and not self.transport.is_closing():
                self._reject(_TOO_LARGE)
        if self._timer is None and self._head_begun and not self.transport.is_closing():
            self._start_timer()  # a head follows the request that these bytes ended

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        self._head_begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head of a request is complete."""
        self._in_head = self._head_begun = False
        self._overhead_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body arrived."""
        self._overhead_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._in_head = True
        self._overhead_bytes = 0
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The response was sent; the rest of an unread body must arrive in time."""
        super().on_response_complete()
        if not self._in_head and not self.transport.is_closing():
            self._start_timer()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which counts it from here on."""
        self._upgraded = True
        self._stop_timer()
        self._release()
        super().handle_websocket_upgrade()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._limits.head_timeout_s, self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        if self._in_head and self.cycle is not None and not self.cycle.response_complete:
            self._start_timer()  # a pipelined request: first the response to the one before it
        elif not self.transport.is_closing():
            self._reject(_TIMEOUT)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        if self._counted:
            self._counted = False
            self._limits.release(self._address)

    def _reject(self, status: str) -> None:
        """Close the connection, with a status unless a response has begun."""
        self._stop_timer()
        if self.cycle is None or (self.cycle.response_complete and self._in_head):
            head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self.transport.write(head.encode())
        self.transport.close()


class LimitedWebSocketProtocol(WebSocketProtocol):
    """A WebSocket that counts as a connection."""

    def __init__(self, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; there is room, because it was one of HTTP just now."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._counted = self._limits.acquire(self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        if self._counted:
            self._counted = False
            self._limits.release(self._address)
        super().connection_lost(exc)
