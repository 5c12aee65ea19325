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
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from emo_runtime import EmotionRecognizer, OverloadedError
from emo_runtime.audio.decode import AudioSource
from emo_runtime.audio.encodings import PacketDecoder
from studies.live_load import (
    RATE,
    mulaw_sound,
    percentiles,
    run_calls,
    thread_cpu_s,
    utterance_frames,
)
from studies.poisson_arrivals import poisson_arrivals

CLIP = Path(__file__).resolve().parents[2] / "examples" / "clips" / "queja.flac"
TEXT = "¡Llevo tres semanas esperando una solución! ¡Esto es una vergüenza!"
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
        return percentiles(self.latencies_ms.get(status, []))


# Sends a request; its latency counts from when it was due (perf_counter).
Post = Callable[[Seen, float], Coroutine[Any, Any, None]]


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
        self._expected = library_scores(options, audio)
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
    asyncio.get_running_loop().call_later(10, os.kill, options.pid[0], signal.SIGTERM)
    seen = await open_loop(caller.post, 0.7 * capacity, requests)
    unsent = seen.statuses.pop(UNSENT, 0)
    lost = sum(count for status, count in seen.statuses.items() if not status.isdigit())
    print(f"{requests} requests at {0.7 * capacity:.0f} per second, SIGTERM after 10 s:")
    print(f"  {dict(seen.statuses)}; wrong: {seen.wrong}; lost: {lost}")
    print(f"  not sent, because the server had stopped: {unsent}")


async def calls(options: argparse.Namespace) -> None:
    """Run live calls in real time."""
    sound = mulaw_sound()
    samples, _ = PacketDecoder("mulaw", 1)(sound)
    expected = library_scores(options, (samples, RATE))
    frames = utterance_frames(sound, TEXT, options.interval_ms)
    seconds = 60 * options.minutes
    parts = urlsplit(options.url)
    address = str(parts.hostname), parts.port or 80
    loads = [os.getloadavg()[0]]
    before = [thread_cpu_s(pid) for pid in options.pid or ()]
    own, begun = time.process_time(), time.perf_counter()
    found = await run_calls(address, frames, expected, options.calls, seconds)
    elapsed_s = time.perf_counter() - begun
    loads.append(os.getloadavg()[0])
    per_call = 1e3 / options.calls / elapsed_s
    print(f"{options.calls} calls for {options.minutes:g} min: final answers {dict(found.finals)}")
    print(f"from when stop was due to the final answer: {percentiles(found.latencies_ms)}")
    for pid, (loop_s, threads_s) in zip(options.pid or (), before, strict=True):
        loop_end_s, threads_end_s = thread_cpu_s(pid)
        print(
            f"process {pid}: event loop {(loop_end_s - loop_s) * per_call:.2f}, other threads "
            f"{(threads_end_s - threads_s) * per_call:.2f} ms of CPU per call and second"
        )
    print(f"load generator: {(time.process_time() - own) * per_call:.2f} ms per call and second")
    print(f"load average of the machine: {loads[0]:.1f} before, {loads[1]:.1f} after")


def library_scores(options: argparse.Namespace, audio: AudioSource | None) -> dict[str, float]:
    """Return the library's answer to the utterance."""
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
    parser.add_argument(
        "--pid", type=int, action="append", help="the server's; stop: required, calls: CPU times"
    )
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--interval-ms", type=float, default=1000.0, help="calls: of events")
    options = parser.parse_args()
    options.url = options.url.rstrip("/")
    uvloop.run({"http": http, "stop": stop, "calls": calls}[options.what](options))


if __name__ == "__main__":
    main()
