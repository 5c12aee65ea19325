"""A gRPC server in the event loop of the HTTP server, with the same limits and tokens.

Each method is registered as a stream, which is the same on the wire: so the token and the limits
are checked before the request is read, reading and sending have time limits, and messages are
decoded in a bounded time.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

# Read when it is imported. Its lines are about what clients do wrong, and not in JSON.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from emo_runtime import ArgumentError, EmoError, OverloadedError
from emo_serving.admission import Client
from emo_serving.api.access import AccessRules
from emo_serving.context import RequestContext, begin_context
from emo_serving.errors import (
    INTERNAL_ERROR,
    RequestError,
    SlowUploadError,
    UnavailableError,
    log_unexpected,
    status_of,
)
from emo_serving.on_grpc.handlers import METHODS, Method
from emo_serving.on_grpc.messages import SERVICE, TYPES
from emo_serving.on_grpc.wire import decode_message
from emo_serving.request_log import log_event
from emo_serving.service import Service
from emo_serving.tls import Tls
from emo_serving.tracing import record_span

# Beside the bytes of a request's tensors.
_MESSAGE_OVERHEAD = 64 << 10
# Idle connections are closed after the time for which HTTP keeps them.
_IDLE_MS = 75_000
_KEEP_ALIVE_MS, _KEEP_ALIVE_TIMEOUT_MS = 60_000, 20_000
# Streams that are open at once, in all: their requests wait to be read, or for their response.
_MAX_OPEN = 4096
_MAX_OPEN_OF_CONNECTION = 128
# A request that has not arrived after this time needs a slot, of which a client has a quarter.
_AT_ONCE_S = 0.5
_CLIENT_SHARE = 4
_LARGE_BYTES = 1 << 20

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class GrpcServer:
    """Listens on an address while it is started."""

    def __init__(self, service: Service, host: str, port: int, tls: Tls | None) -> None:
        self._service = service
        self._host = f"[{host}]" if ":" in host else host
        self._port = port
        self._tls = tls
        self._server: grpc.aio.Server | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises ArgumentError if the address can't be used."""
        settings = self._service.settings
        server = grpc.aio.server(
            handlers=[_Handlers(self._service)],
            maximum_concurrent_rpcs=_MAX_OPEN,
            options=[
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", settings.max_body_bytes + _MESSAGE_OVERHEAD),
                ("grpc.max_metadata_size", settings.max_head_bytes),
                ("grpc.absolute_max_metadata_size", settings.max_head_bytes),
                ("grpc.max_concurrent_streams", _MAX_OPEN_OF_CONNECTION),
                ("grpc.max_allowed_incoming_connections", settings.max_connections),
                ("grpc.server_handshake_timeout_ms", int(settings.head_timeout_s * 1e3)),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
                ("grpc.keepalive_time_ms", _KEEP_ALIVE_MS),
                ("grpc.keepalive_timeout_ms", _KEEP_ALIVE_TIMEOUT_MS),
                # Compressed messages are refused: a small one could become gigabytes.
                ("grpc.per_message_decompression", 0),
                ("grpc.compression_enabled_algorithms_bitset", 1),
            ],
        )
        address = f"{self._host}:{self._port}"
        try:
            if self._tls is None:
                port = server.add_insecure_port(address)
            else:
                pair = (self._tls.key.read_bytes(), self._tls.certificate.read_bytes())
                port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError:
            raise ArgumentError(f"--grpc-port: can't listen on {address}.") from None
        await server.start()
        self._server = server
        return int(port)

    def stop_listening(self, grace_s: float) -> None:
        """Accept no further requests; those in progress have ``grace_s``."""
        if self._server is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._server.stop(grace_s))

    async def close(self) -> None:
        """Close the connections that are still open."""
        if self._server is not None:
            await self._server.stop(0)
        if self._stopping is not None:
            await self._stopping


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Finds the handler of a method; unknown ones are UNIMPLEMENTED."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._rules = AccessRules(service.settings)
        self._uploads = _Uploads(service)

    def service(self, details: Any) -> Any:
        """Return the handler of a method, or None."""
        name = details.method.removeprefix(f"/{SERVICE}/")
        method = METHODS.get(name)
        if method is None:
            return None

        async def handle(requests: Any, context: Any) -> None:  # noqa: ARG001
            call = _Call(self._service, name, method, context)
            await call.run(self._rules, self._uploads)

        return grpc.stream_stream_rpc_method_handler(handle)


class _Uploads:
    """Limits the slow requests that are read at once, so that their memory is bounded.

    gRPC collects a whole message before it hands it over, and its size is not known before. Most
    arrive at once; those that do not need a slot, or slow clients could fill the memory. Requests
    of the same client that arrive at once are not affected.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self._counts = service.admission.counts
        self._limit = max(
            1, settings.max_buffered_bytes // settings.max_body_bytes // settings.workers
        )
        self._slow: Counter[str] = Counter()
        self._decoding = asyncio.Lock()

    @contextlib.contextmanager
    def slow(self, client: Client) -> Iterator[None]:
        """Count a request that did not arrive at once. Raises OverloadedError."""
        of_client = max(1, self._limit // _CLIENT_SHARE)
        if self._slow.total() >= self._limit or self._slow[client.name] >= of_client:
            self._counts.refuse("memory")
            raise OverloadedError("too many requests arrive slowly: try again later.")
        self._slow[client.name] += 1
        try:
            yield
        finally:
            self._slow[client.name] -= 1
            if not self._slow[client.name]:
                del self._slow[client.name]

    async def decode(self, kind: Any, content: bytes) -> Any:
        """Decode a message; of large ones only one at a time, and others get their turn between."""
        if len(content) < _LARGE_BYTES:
            return decode_message(kind, content)
        async with self._decoding:
            await asyncio.sleep(0)
            return decode_message(kind, content)


class _Call:
    """One call of a method."""

    def __init__(self, service: Service, name: str, method: Method, context: Any) -> None:
        self._service = service
        self._name = name
        self._method = method
        self._grpc = context
        metadata = [(key, value) for key, value in context.invocation_metadata() or ()]
        # The form in which ASGI has an HTTP request, for the rules that both have in common.
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": f"/v2/health/{name}" if method.is_probe else f"/{SERVICE}/{name}",
            "client": _address(context.peer()),
            "headers": [
                (key.encode(), value if isinstance(value, bytes) else value.encode())
                for key, value in metadata
            ],
        }
        self._context: RequestContext = begin_context(self._scope)

    async def run(self, rules: AccessRules, uploads: _Uploads) -> None:
        """Check, read, answer, send; errors become a status. Never raises an EmoError."""
        begun = time.perf_counter()
        code, message = grpc.StatusCode.OK, ""
        try:
            code, message = await self._answer(rules, uploads)
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            self._finish(code, time.perf_counter() - begun)
        if code is not grpc.StatusCode.OK:
            identifier = (("x-request-id", self._context.request_id),)
            await self._grpc.abort(code, message, identifier)

    async def _answer(self, rules: AccessRules, uploads: _Uploads) -> tuple[Any, str]:
        service, settings = self._service, self._service.settings
        identifier = (("x-request-id", self._context.request_id),)
        try:
            client = self._context.client = rules.check_grpc(self._scope)
            if self._method.is_inference:
                service.admission.check(client)
            with contextlib.ExitStack() as stack:
                request = None
                if not self._method.is_probe:
                    reserve = stack.enter_context(service.admission.buffer(client))
                    request = await self._read(uploads, client, reserve)
                response = await self._method.handler(service, client, request)
            await self._grpc.send_initial_metadata(identifier)
            async with asyncio.timeout(settings.send_timeout_s):
                await self._grpc.write(response.SerializeToString())
        except EmoError as error:
            return _CODES.get(status_of(error), grpc.StatusCode.INTERNAL), str(error)
        except TimeoutError:
            return grpc.StatusCode.DEADLINE_EXCEEDED, "the response was not read in time."
        except Exception as error:  # noqa: BLE001  (its message may quote a client's data)
            log_unexpected(error, self._name, self._context.request_id)
            return grpc.StatusCode.INTERNAL, INTERNAL_ERROR
        return grpc.StatusCode.OK, ""

    async def _read(self, uploads: _Uploads, client: Client, reserve: Any) -> Any:
        content = await self._receive(uploads, client)
        if content is grpc.aio.EOF:
            raise RequestError("the call has no request.")
        if self._service.admission.closing:
            raise UnavailableError("the server is stopping: connect to another one, or later.")
        reserve(len(content))
        return await uploads.decode(TYPES[f"{self._name}Request"], content)

    async def _receive(self, uploads: _Uploads, client: Client) -> Any:
        timeout_s = self._service.settings.upload_timeout_s
        reading = asyncio.ensure_future(self._grpc.read())
        try:
            await asyncio.wait([reading], timeout=min(_AT_ONCE_S, timeout_s))
            if reading.done():
                return reading.result()
            with uploads.slow(client):
                async with asyncio.timeout(max(0.0, timeout_s - _AT_ONCE_S)):
                    return await reading
        except TimeoutError:
            raise SlowUploadError(f"the request did not arrive within {timeout_s:g} s.") from None
        finally:
            reading.cancel()

    def _finish(self, code: Any, seconds: float) -> None:
        metrics = self._service.metrics
        metrics.grpc_requests.labels(self._name, code.name).inc()
        metrics.grpc_seconds.labels(self._name).observe(seconds)
        attributes = {
            "rpc.system": "grpc",
            "rpc.service": SERVICE,
            "rpc.method": self._name,
            "rpc.grpc.status_code": code.value[0],
        }
        record_span(f"{SERVICE}/{self._name}", self._context, seconds, attributes)
        if self._service.settings.access_log:
            fields = {"method": self._name, "code": code.name, "ms": round(seconds * 1e3, 1)}
            log_event("grpc", self._context, **fields)


def _address(peer: str) -> tuple[str, int] | None:
    """Return the address of ``ipv4:1.2.3.4:5`` or ``ipv6:[::1]:5``; None for other connections."""
    kind, _, address = peer.partition(":")
    host, _, port = unquote(address).rpartition(":")
    if kind not in {"ipv4", "ipv6"} or not port.isdigit():
        return None
    return host.strip("[]"), int(port)
