"""A TCP server for Asterisk's AudioSocket, with the limits of the HTTP server's connections."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from emo_runtime import EmoError
from emo_serving.admission import Client
from emo_serving.api.access import address_key, client_with_token
from emo_serving.connections import ConnectionLimits
from emo_serving.context import RequestContext, new_request_id
from emo_serving.errors import log_unexpected
from emo_serving.live.connection import run_call
from emo_serving.live.dialects.audiosocket import ERROR, HANGUP, UUID, AudioSocket
from emo_serving.live.lease import CallLease
from emo_serving.live.transport import Disconnected, Taken
from emo_serving.request_log import log_event
from emo_serving.service import Service
from emo_serving.settings import Settings
from emo_serving.tokens import Token

_HEADER_BYTES = 3
_HANGUP_MESSAGE = bytes(_HEADER_BYTES)


class AudioSocketServer:
    """Accepts AudioSocket connections on a listening socket."""

    def __init__(self, service: Service, limits: ConnectionLimits) -> None:
        self._service = service
        self._limits = limits
        self._networks = [
            ipaddress.ip_network(allowed) for allowed in service.settings.audiosocket_clients
        ]
        self._token = _owner(service.settings)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, listening: socket.socket) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._accept, sock=listening)

    def make_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection that was accepted elsewhere."""
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._accept)

    def stop_listening(self) -> None:
        """Accept no further connections; the calls in progress go on."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Close the connections that are still open."""
        self.stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        address = str(writer.get_extra_info("peername")[0])
        try:
            if self._is_allowed(address) and self._limits.acquire(address):
                try:
                    await self._handle(_Frames(reader, writer), address)
                finally:
                    self._limits.release(address)
        finally:
            writer.close()

    async def _handle(self, transport: "_Frames", address: str) -> None:
        """Handle a connection whose first message must arrive in time, as a request's head."""
        settings = self._service.settings
        context = RequestContext(new_request_id(), client=self._client(address))
        try:
            async with asyncio.timeout(settings.head_timeout_s):
                first = await transport.next_message()
            if first[0] != UUID:
                return
            transport.push_back(first)
            with CallLease(self._service, context) as lease:
                await run_call(transport, self._service, AudioSocket(), context, lease)
        except (TimeoutError, Disconnected):
            return
        except EmoError as error:  # a limit
            if settings.access_log:
                log_event("call", context, dialect=AudioSocket.name, reason=type(error).__name__)
            await transport.close(0, "")
        except Exception as error:  # noqa: BLE001  (its message may quote a client's data)
            log_unexpected(error, AudioSocket.name, context.request_id)

    def _is_allowed(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        if not self._networks:
            return found.is_loopback
        return any(found in network for network in self._networks)

    def _client(self, address: str) -> Client:
        settings = self._service.settings
        if self._token is not None:
            return client_with_token(self._token, settings)
        return Client(address_key(address), max_streams=settings.max_streams_per_client)


class _Frames:
    """Messages of a TCP connection: kind and payload as bytes, without the length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._first: bytes | None = None
        self.is_connected = True

    def push_back(self, message: bytes) -> None:
        """Return this message next."""
        self._first = message

    async def receive(self, take: Callable[[str | bytes], Taken | None]) -> Taken:
        """Call ``take`` with each message until it returns something. Raises Disconnected."""
        while True:
            taken = take(await self.next_message())
            if taken is not None:
                return taken

    async def next_message(self) -> bytes:
        """Return the next message. Raises Disconnected at the end of the call."""
        if self._first is not None:
            message, self._first = self._first, None
            return message
        try:
            header = await self._reader.readexactly(_HEADER_BYTES)
            payload = await self._reader.readexactly(int.from_bytes(header[1:], "big"))
        except (asyncio.IncompleteReadError, OSError):
            self.is_connected = False
            raise Disconnected from None
        if header[0] in {HANGUP, ERROR}:
            self.is_connected = False
            raise Disconnected
        return header[:1] + payload

    async def send(self, text: str) -> None:
        """Send nothing: the protocol has no such messages."""

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002  (there is no such message)
        """Hang up, and close the connection."""
        with contextlib.suppress(OSError):
            self._writer.write(_HANGUP_MESSAGE)
            await self._writer.drain()
        self._writer.close()


def _owner(settings: Settings) -> Token | None:
    """Return the token that the calls belong to: the named one, or the only one."""
    named = settings.audiosocket_owner
    found = [token for token in settings.tokens if named in {None, token.name}]
    return found[0] if found else None
