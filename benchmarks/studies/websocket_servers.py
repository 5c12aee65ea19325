"""CPU time of WebSocket servers that only receive: calls that send packets of 20 ms in JSON.

    python -m studies.websocket_servers [--calls 50 --seconds 8 --rounds 3] [--only NAME ...]

Each server runs in a process of its own; rounds are interleaved. "picows" and "wsproto" need
``pip install picows wsproto``. The result is the CPU time of the server's process for each call and
second; it includes the kernel's part and uvloop, which no choice of a library avoids.
"""

import argparse
import asyncio
import base64
import json
import multiprocessing
import os
import socket
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
import uvloop

from emo_serving.live.transport import transport_of
from emo_serving.websocket.frames import TEXT
from emo_serving.websocket.protocol import WebSocketProtocol
from studies.live_load import HANDSHAKE, masked_frame

PACKETS_PER_S = 50


class Count:
    """Number of messages that a server has received."""

    value = 0


async def by_asgi(_: Any, receive: Any, send: Any) -> None:
    """ASGI application that receives messages."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        Count.value += 1


async def by_transport(scope: Any, _: Any, send: Any) -> None:
    """ASGI application that uses the transport of this project's own protocol."""
    await send({"type": "websocket.accept"})

    class Accepted:
        """What ``transport_of`` reads of a WebSocket."""

    Accepted.scope = scope  # type: ignore[attr-defined]

    def take(_: str | bytes) -> None:
        Count.value += 1

    await transport_of(Accepted()).receive(take)  # type: ignore[arg-type]


def run_uvicorn(app: Any, protocol: Any) -> Any:
    """Return a function that serves with uvicorn."""

    def run(listening: socket.socket) -> None:
        config = uvicorn.Config(
            app, ws=protocol, lifespan="off", log_level="critical", ws_per_message_deflate=False
        )
        uvicorn.Server(config).run([listening])

    return run


def run_picows(listening: socket.socket) -> None:
    """Serve with picows alone: no HTTP beside it."""
    import picows  # type: ignore[import-not-found]

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002
            frame.get_payload_as_utf8_text()
            Count.value += 1

    async def serve() -> None:
        server = await picows.ws_create_server(lambda _: Listener(), sock=listening)
        await server.serve_forever()

    uvloop.run(serve())


SERVERS = {
    "uvicorn, websockets": run_uvicorn(by_asgi, "websockets-sansio"),
    "uvicorn, wsproto": run_uvicorn(by_asgi, "wsproto"),
    "own protocol, ASGI": run_uvicorn(by_asgi, WebSocketProtocol),
    "own protocol, transport": run_uvicorn(by_transport, WebSocketProtocol),
    "picows alone": run_picows,
}


def serve(name: str, listening: socket.socket, control: Connection) -> None:
    """Serve, and report CPU time and messages when asked."""
    import threading

    def report() -> None:
        while control.recv():
            control.send((time.process_time(), Count.value))
        os._exit(0)

    threading.Thread(target=report, daemon=True).start()
    SERVERS[name](listening)


async def send(port: int, calls: int, seconds: float) -> None:
    """Send the packets of all calls in real time."""
    payload = base64.b64encode(os.urandom(160)).decode()
    media = {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": payload}
    frame = masked_frame(TEXT, json.dumps({"event": "media", "media": media}).encode())
    writers = []
    for _ in range(calls):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writers.append(writer)
    begun = time.perf_counter()
    for number in range(int(seconds * PACKETS_PER_S * calls)):
        due = begun + number / PACKETS_PER_S / calls
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(max(wait, 0.001))  # a shorter sleep would be a busy loop
        writers[number % calls].write(frame)
    for writer in writers:
        await writer.drain()
    await asyncio.sleep(0.5)


def measure(name: str, calls: int, seconds: float) -> float:
    """Return milliseconds of CPU time for each call and second."""
    spawning = multiprocessing.get_context("spawn")
    control, other = spawning.Pipe()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = spawning.Process(target=serve, args=(name, listening, other), daemon=True)
        process.start()
        control.send(True)
        cpu, _ = control.recv()
        uvloop.run(send(listening.getsockname()[1], 1, 0.2))  # until it serves
        control.send(True)
        cpu, before = control.recv()
        uvloop.run(send(listening.getsockname()[1], calls, seconds))
        control.send(True)
        end, after = control.recv()
        control.send(False)
        process.join()
    if after - before != int(seconds * PACKETS_PER_S * calls):
        raise SystemExit(f"{name}: {after - before} messages arrived")
    return float((end - cpu) * 1e3 / calls / seconds)


def main() -> None:
    """Print the median of each server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=list(SERVERS))
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in options.only}
    for _ in range(options.rounds):
        for name, values in found.items():
            values.append(measure(name, options.calls, options.seconds))
    for name, values in found.items():
        every = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name:26s} {statistics.median(values):.2f} ms per call and second ({every})")


if __name__ == "__main__":
    main()
