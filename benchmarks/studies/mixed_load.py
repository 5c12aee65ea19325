"""An hour of live calls and requests with one attack a minute: no answer may be lost or differ.

    python -m studies.mixed_load [--minutes 60 --calls 40 --rate 10 --workers 1]

Starts emo-serve. Every answer is compared with the library's. The attacks come from another address
of the loopback network (Linux). Exit code 1: an answer was lost or different, or the server ended.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.request import urlopen

import uvloop

from emo_runtime.audio.encodings import PacketDecoder
from studies.live_load import (
    HANDSHAKE,
    RATE,
    CallResults,
    masked_frame,
    mulaw_sound,
    percentiles,
    run_calls,
    utterance_frames,
)
from studies.poisson_arrivals import poisson_arrivals
from studies.serving_load import TEXT, Caller, Seen, library_scores

ATTACKER = "127.0.0.66"
ATTACK_S = 12.0
_PROBE_S = 0.1

Address = tuple[str, int]
Attack = Callable[[Address], Awaitable[None]]


@contextlib.asynccontextmanager
async def connected(
    address: Address, *sent: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect as the attacker, and send."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(ATTACKER, 0))
    try:
        for part in sent:
            writer.write(part)
            await writer.drain()
        yield reader, writer
    finally:
        writer.transport.abort()


async def send_and_wait(address: Address, *sent: bytes) -> None:
    """Send, then read until the server closes."""
    with contextlib.suppress(OSError):
        async with connected(address, *sent) as (reader, _):
            while await reader.read(65536):
                pass


def post(path: str, content_type: str, body: bytes, length: int | None = None) -> bytes:
    """Return a request whose announced length may be wrong."""
    size = len(body) if length is None else length
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {size}\r\nConnection: close\r\n\r\n"
    ).encode() + body


async def slow_charset(address: Address) -> None:
    """A form whose charset takes quadratic time to decode."""
    part = b'--b\r\nContent-Disposition: form-data; name="text"\r\n'
    part += (
        b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * 400_000 + b"\r\n--b--\r\n"
    )
    await send_and_wait(address, post("/v1/recognize", "multipart/form-data; boundary=b", part))


async def deep_json(address: Address) -> None:
    """JSON that is nested 200,000 times."""
    await send_and_wait(address, post("/v1/recognize", "application/json", b"[" * 200_000))


async def endless_head(address: Address) -> None:
    """A header of 20 MB."""
    await send_and_wait(address, b"GET / HTTP/1.1\r\nA: ", *[b"a" * 100_000] * 200)


async def half_heads(address: Address) -> None:
    """200 connections with half a head each."""
    await asyncio.gather(*(send_and_wait(address, b"GET / HTTP/1.1\r\nHo") for _ in range(200)))


async def half_bodies(address: Address) -> None:
    """100 requests whose bodies do not end."""
    sent = post("/v1/recognize", "application/json", b'{"text": "', 1000)
    await asyncio.gather(*(send_and_wait(address, sent) for _ in range(100)))


async def noise(address: Address) -> None:
    """Random bytes, to HTTP and to a WebSocket."""
    for _ in range(100):
        await send_and_wait(address, os.urandom(2000))
        await send_and_wait(address, HANDSHAKE, os.urandom(2000))


async def huge_frames(address: Address) -> None:
    """Frames that announce up to 8 EB, and messages beyond the limit in fragments."""
    for size in (2 << 20, 1 << 40, (1 << 63) - 1):
        head = b"\x82\xff" + size.to_bytes(8, "big") + bytes(4)
        await send_and_wait(address, HANDSHAKE, head, bytes(200_000))
    await send_and_wait(address, HANDSHAKE, *[b"\x02\xfe\xff\xff" + bytes(4 + 65535)] * 40)


async def tiny_frames(address: Address) -> None:
    """100,000 empty fragments and as many pings, whose pongs are not read."""
    fragments = b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * 100_000
    for sent in (fragments, b"\x89\x80\0\0\0\0" * 100_000):
        with contextlib.suppress(OSError):
            async with connected(address, HANDSHAKE, sent):
                await asyncio.sleep(2)


async def slow_readers(address: Address) -> None:
    """Live calls that ask for answers and read none."""
    start = {"event": "start", "start": {"customParameters": {"text": "hola"}}}
    marks = masked_frame(1, b'{"event": "mark"}') * 2000
    sent = HANDSHAKE, masked_frame(1, json.dumps(start).encode()), marks

    async def call() -> None:
        with contextlib.suppress(OSError):
            async with connected(address, *sent):
                await asyncio.sleep(ATTACK_S - 2)

    await asyncio.gather(*(call() for _ in range(5)))


async def wrong_messages(address: Address) -> None:
    """Live calls of wrong messages, until each is closed."""
    sent = HANDSHAKE, masked_frame(1, b'{"event": "start", "start": 1}') * 100
    await asyncio.gather(*(send_and_wait(address, *sent) for _ in range(20)))


ATTACKS: tuple[Attack, ...] = (
    slow_charset,
    deep_json,
    endless_head,
    half_heads,
    half_bodies,
    noise,
    huge_frames,
    tiny_frames,
    slow_readers,
    wrong_messages,
)


async def probe(client: Caller, seen: list[float]) -> None:
    """Append the time of a request without sound, again and again."""
    while True:
        begun = time.perf_counter()
        await client.post(Seen(), begun)
        seen.append((time.perf_counter() - begun) * 1e3)
        await asyncio.sleep(_PROBE_S)


async def attack_each_minute(address: Address, every_s: float, client: Caller) -> None:
    """Attack until cancelled; print the slowest request during each attack."""
    for attack in itertools.cycle(ATTACKS):
        await asyncio.sleep(max(0.0, every_s - ATTACK_S))
        seen: list[float] = []
        probing = asyncio.create_task(probe(client, seen))
        begun = time.perf_counter()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ATTACK_S):
                await attack(address)
        took_s = time.perf_counter() - begun
        await asyncio.sleep(max(0.0, ATTACK_S - took_s))
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        print(
            f"{attack.__name__:16s} {took_s:5.1f} s; slowest request meanwhile "
            f"{max(seen, default=0):.0f} ms",
            flush=True,
        )


async def requests(caller: Caller, rate: float, seconds: float) -> Seen:
    """Send requests as a Poisson process."""
    seen = Seen()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for due in begun + poisson_arrivals(rate, int(rate * seconds)):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(caller.post(seen, due))
    return seen


@contextlib.contextmanager
def serving(options: argparse.Namespace) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run emo-serve on a free port, with the loopback network allowed."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "emo_serving.cli", "--port", str(port), "--no-access-log"]
    command += ["--workers", str(options.workers), "--max-streams", str(options.calls + 64)]
    command += ["--bundle", options.bundle] if options.bundle else []
    with subprocess.Popen(command) as process:
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/readyz"):
                    break
                time.sleep(0.2)
            yield port, process
        finally:
            process.terminate()


async def load(options: argparse.Namespace, port: int) -> tuple[CallResults, Seen]:
    """Run calls, requests and attacks."""
    address = "127.0.0.1", port
    seconds = options.minutes * 60
    sound = mulaw_sound()
    samples, _ = PacketDecoder("mulaw", 1)(sound)
    expected = library_scores(options, (samples, RATE))
    options.url = f"http://127.0.0.1:{port}"
    caller, options.text_only = Caller(options), True
    prober = Caller(options)
    attacks = asyncio.create_task(attack_each_minute(address, options.attack_every_s, prober))
    frames = utterance_frames(sound, TEXT, 1000.0)
    found, seen = await asyncio.gather(
        run_calls(address, frames, expected, options.calls, seconds),
        requests(caller, options.rate, seconds),
    )
    attacks.cancel()
    return found, seen


def main() -> None:
    """Print counts and latencies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--rate", type=float, default=10.0, help="requests with sound per second")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--attack-every-s", type=float, default=60.0)
    options = parser.parse_args()
    options.text_only = False
    with serving(options) as (port, process):
        found, seen = uvloop.run(load(options, port))
        alive = process.poll() is None
    late = percentiles(found.latencies_ms)
    print(f"final answers of {options.calls} calls: {dict(found.finals)}; {late}")
    print(f"requests: {dict(seen.statuses)}, wrong: {seen.wrong}; {seen.percentiles('200')}")
    print(f"load average of the machine: {os.getloadavg()[1]:.1f}")
    failed = not alive or set(found.finals) != {"equal"} or set(seen.statuses) != {"200"}
    sys.exit(1 if failed or seen.wrong else 0)


if __name__ == "__main__":
    main()
