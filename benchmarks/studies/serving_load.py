"""Load test of a running emo-serve: capacity, failures at 0.7 x, refusals at 3 x, live calls.

The server runs in a separate process on loopback; this process generates the load:

    emo-serve --port 8000 &
    python -m studies.serving_load http http://127.0.0.1:8000 [--requests 100000]
    python -m studies.serving_load stop http://127.0.0.1:8000 --pid PID
    python -m studies.serving_load calls http://127.0.0.1:8000 [--calls 200 --minutes 10]

* "http": closed loops measure the capacity. Then requests arrive as a Poisson process (open loop)
  at 0.7 x and 3 x of it. Latencies count from when a request was due.
* "stop": the server receives SIGTERM under 0.7 x of its capacity. A request that was sent and got
  no answer counts as lost.
* "calls": CALLS connections send mu-law packets of 20 ms in real time, utterance after utterance.
  Every final answer is compared with the library's.
"""

import argparse
import asyncio
import base64
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import httptools
import msgspec
import numpy as np
import uvloop

from emo_runtime import EmotionRecognizer, OverloadedError
from emo_runtime.audio.decode import AudioSource
from emo_runtime.audio.encodings import PacketDecoder
from studies.poisson_arrivals import poisson_arrivals

CLIP = Path(__file__).resolve().parents[2] / "examples" / "clips" / "queja.flac"
TEXT = "¡Llevo tres semanas esperando una solución! ¡Esto es una vergüenza!"
RATE = 8000
PACKET = 160
UNSENT = "no connection"
TIMEOUT_S = 60.0


@dataclass
class Seen:
    """Results of the requests of one run: counts and latencies in ms by status."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    wrong: int = 0

    def add(self, status: str, latency_ms: float) -> None:
        """Count a request."""
        self.statuses[status] += 1
        self.latencies_ms.setdefault(status, []).append(latency_ms)

    def percentiles(self, status: str) -> str:
        """Return p50, p99 and the maximum as text."""
        found = self.latencies_ms.get(status)
        if not found:
            return "-"
        p50, p99, top = np.percentile(found, [50, 99, 100])
        return f"p50 {p50:.1f}  p99 {p99:.1f}  max {top:.1f} ms"


# Sends a request; its latency counts from when it was due (perf_counter).
Post = Callable[[Seen, float], Awaitable[None]]


class Scores(msgspec.Struct):
    """Part of an answer that is compared."""

    scores: dict[str, float]


class Connection(asyncio.Protocol):
    """Lightweight HTTP client, one request at a time: it shares the CPU with the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self._reply: asyncio.Future[tuple[int, bytes]] | None = None

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request. The future gives status and body, or ConnectionError if it was closed."""
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._reply = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            self._reply.set_exception(ConnectionError("the server closed the connection"))
        else:
            self.transport.write(request)
        return self._reply

    def data_received(self, data: bytes) -> None:
        """Parse a part of the reply."""
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Append a part of the body (httptools callback)."""
        self._body += part

    def on_message_complete(self) -> None:
        """Set the result (httptools callback)."""
        if not self._parser.should_keep_alive():
            self.transport.close()
        if self._reply is not None and not self._reply.done():
            self._reply.set_result((self._parser.get_status_code(), self._body))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the pending request."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError(f"no answer: {error}"))


class Caller:
    """Posts the same utterance each time, and compares the answer with the library's."""

    def __init__(self, options: argparse.Namespace) -> None:
        parts = urlsplit(options.url)
        if parts.scheme != "http" or parts.path:
            raise SystemExit("the URL must have the form http://host:port (no TLS, no path)")
        self._address = parts.hostname, parts.port or 80
        utterance = {"text": TEXT}
        audio = None if options.text_only else CLIP.read_bytes()
        if audio:
            utterance["audio"] = base64.b64encode(audio).decode()
        body = json.dumps(utterance).encode()
        head = (
            f"POST /v1/recognize HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._expected = _library(options, audio)
        self._answer = msgspec.json.Decoder(Scores)
        self._free: list[Connection] = []

    async def post(self, seen: Seen, due: float) -> None:
        """Post the utterance; the latency counts from ``due`` (perf_counter)."""
        try:
            connection = await self._connect()
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await connection.ask(self._request)
        except ConnectionRefusedError:
            seen.add(UNSENT, (time.perf_counter() - due) * 1e3)
            return
        except OSError as error:
            seen.add(type(error).__name__, (time.perf_counter() - due) * 1e3)
            return
        seen.add(str(status), (time.perf_counter() - due) * 1e3)
        self._free.append(connection)
        if status == 200:
            seen.wrong += self._answer.decode(body).scores != self._expected

    async def _connect(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if not connection.transport.is_closing():
                return connection
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, *self._address)
        return connection


async def closed(post: Post, loops: int, seconds: float) -> float:
    """Return answers per second of ``loops`` closed loops."""
    seen = Seen()
    end = time.perf_counter() + seconds

    async def loop() -> None:
        while (now := time.perf_counter()) < end:
            await post(seen, now)

    await asyncio.gather(*(loop() for _ in range(loops)))
    return seen.statuses["200"] / seconds


async def open_loop(post: Post, rate: float, requests: int) -> Seen:
    """Send requests as a Poisson process of ``rate`` per second, without waiting for answers."""
    seen = Seen()
    due = poisson_arrivals(rate, requests)
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for at in begun + due:
            wait = at - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            group.create_task(post(seen, at))
    return seen


async def library(options: argparse.Namespace, rate: float) -> None:
    """Answer the same arrivals in this process, then at 0.7 x of the library's own capacity."""
    audio = None if options.text_only else CLIP.read_bytes()
    requests = options.library_requests
    with EmotionRecognizer.open(options.bundle, mode="throughput", warm=True) as recognizer:

        async def post(seen: Seen, due: float) -> None:
            try:
                await recognizer.arecognize(TEXT, audio)
                status = "200"
            except OverloadedError:
                status = "429"
            seen.add(status, (time.perf_counter() - due) * 1e3)

        alone = await open_loop(post, rate, requests)
        capacity = await closed(post, 8, options.seconds)
        full = await open_loop(post, 0.7 * capacity, requests)
    print(f"the library itself at these arrivals: {alone.percentiles('200')}")
    print(f"... and at 0.7 x of its own capacity, {capacity:.0f}: {full.percentiles('200')}")


async def http(options: argparse.Namespace) -> None:
    """Measure the capacity, then the load at 0.7 x and 3 x of it."""
    caller = Caller(options)
    await closed(caller.post, 4, 1.0)
    capacity = await closed(caller.post, 8, options.seconds)
    print(f"capacity: {capacity:.0f} requests per second (8 callers, {options.seconds:g} s)")
    await library(options, 0.7 * capacity)
    for share in (0.7, 3.0):
        used = time.process_time()
        seen = await open_loop(caller.post, share * capacity, options.requests)
        used_ms = (time.process_time() - used) / options.requests * 1e3
        print(f"{share:g} x capacity, {options.requests} requests: {dict(seen.statuses)}")
        print(f"  answered: {seen.percentiles('200')}; wrong: {seen.wrong}")
        print(f"  refused:  {seen.percentiles('429')}")
        print(f"  (load generator: {used_ms:.2f} ms of CPU per request)", flush=True)


async def stop(options: argparse.Namespace) -> None:
    """Send SIGTERM under load and count the lost requests."""
    caller = Caller(options)
    capacity = await closed(caller.post, 8, options.seconds)
    requests = int(20 * 0.7 * capacity)
    asyncio.get_running_loop().call_later(10, os.kill, options.pid, signal.SIGTERM)
    seen = await open_loop(caller.post, 0.7 * capacity, requests)
    unsent = seen.statuses.pop(UNSENT, 0)
    lost = sum(count for status, count in seen.statuses.items() if not status.isdigit())
    print(f"{requests} requests at {0.7 * capacity:.0f} per second, SIGTERM after 10 s:")
    print(f"  {dict(seen.statuses)}; wrong: {seen.wrong}; lost: {lost}")
    print(f"  not sent, because the server had stopped: {unsent}")


async def calls(options: argparse.Namespace) -> None:
    """Run live calls in real time."""
    sound = _mulaw()
    samples, _ = PacketDecoder("mulaw", 1)(sound)
    expected = _library(options, (samples, RATE))
    finals: Counter[str] = Counter()
    late_ms: list[float] = []
    end = time.perf_counter() + 60 * options.minutes
    packets = [sound[at : at + PACKET] for at in range(0, len(sound), PACKET)]
    messages = [
        json.dumps({"event": "media", "media": {"payload": base64.b64encode(each).decode()}})
        for each in packets
    ]
    start = {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE}}
    start["customParameters"] = {"interval_ms": str(options.interval_ms), "text": TEXT}

    async def final(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = await socket.receive_json(timeout=60)
            if event["event"] == "error" or event["final"]:
                return event

    async def utterance(socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_json({"event": "start", "start": start})
        begun = time.perf_counter()
        for number, message in enumerate(messages):
            await asyncio.sleep(max(0.0, begun + number * PACKET / RATE - time.perf_counter()))
            await socket.send_str(message)
        last = begun + len(messages) * PACKET / RATE
        await socket.send_json({"event": "stop"})
        event = await final(socket)
        late_ms.append((time.perf_counter() - last) * 1e3)
        equal = event["event"] == "emotion" and event["answer"]["scores"] == expected
        finals["equal" if equal else "different"] += 1

    async def call(session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(number * len(sound) / RATE / options.calls)
        try:
            async with session.ws_connect(f"{options.url}/v1/stream") as socket:
                while time.perf_counter() < end:
                    await utterance(socket)
        except (aiohttp.ClientError, TypeError, TimeoutError) as error:
            finals[type(error).__name__] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(call(session, number) for number in range(options.calls)))
    p50, p99 = np.percentile(late_ms, [50, 99]) if late_ms else (float("nan"),) * 2
    print(f"{options.calls} calls for {options.minutes:g} min: final answers {dict(finals)}")
    print(f"from the last packet's end to the final answer: p50 {p50:.0f}  p99 {p99:.0f} ms")


def _mulaw() -> bytes:
    """Return an utterance of 5 s as 40,000 mu-law codes: noise in bursts."""
    draw = np.random.default_rng(1)
    loud = np.sin(np.arange(5 * RATE) / RATE * 2 * np.pi * 2) > 0
    codes = np.where(loud, draw.integers(0, 256, 5 * RATE), 0xFF)
    return codes.astype(np.uint8).tobytes()


def _library(options: argparse.Namespace, audio: AudioSource | None) -> dict[str, float]:
    with EmotionRecognizer.open(options.bundle, mode="throughput") as recognizer:
        return recognizer.recognize(TEXT, audio).scores


def main() -> None:
    """Run a measurement and print its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["http", "stop", "calls"])
    parser.add_argument("url", help="such as http://127.0.0.1:8000")
    parser.add_argument("--bundle", help="the server's, if it is not the default")
    parser.add_argument("--requests", type=int, default=100_000, help="http: at each load")
    parser.add_argument("--library-requests", type=int, default=10_000, help="http: without server")
    parser.add_argument("--seconds", type=float, default=20.0, help="http: for the capacity")
    parser.add_argument("--text-only", action="store_true", help="http: no sound")
    parser.add_argument("--pid", type=int, help="stop: the server's")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--interval-ms", type=float, default=1000.0, help="calls: of events")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    uvloop.run({"http": http, "stop": stop, "calls": calls}[options.what](options))


if __name__ == "__main__":
    main()
