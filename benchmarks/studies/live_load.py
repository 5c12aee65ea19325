"""Load of live calls in real time, by a client that costs little and shares the server's CPU.

Frames are built once and masked with one key. One loop sends all packets of all calls.
"""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np

from emo_serving.websocket.frames import BINARY, CLOSE, PING, PONG, TEXT, unmask

RATE = 8000
PACKET_BYTES = 160
PACKET_S = PACKET_BYTES / RATE
UTTERANCE_S = 5.0
# Time for a final answer; then the call counts as lost and reconnects.
LOST_S = 60.0
HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_MASK = b"\x12\x34\x56\x78"
_RECONNECT_S = 1.0
_TICK_S = 0.001


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """Return a final frame of a client."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    else:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + _MASK + unmask(payload, _MASK)


def mulaw_sound() -> bytes:
    """Return an utterance as mu-law codes: noise in bursts."""
    draw = np.random.default_rng(1)
    count = int(UTTERANCE_S * RATE)
    loud = np.sin(np.arange(count) / RATE * 2 * np.pi * 2) > 0
    return np.where(loud, draw.integers(0, 256, count), 0xFF).astype(np.uint8).tobytes()


def utterance_frames(sound: bytes, text: str, interval_ms: float) -> list[bytes]:
    """Return the frames of an utterance, one for each packet's time; the last one is ``stop``."""
    start = {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE}}
    start["customParameters"] = {"interval_ms": str(interval_ms), "text": text}
    frames = [_json_frame({"event": "start", "start": start})]
    for at in range(0, len(sound), PACKET_BYTES):
        payload = base64.b64encode(sound[at : at + PACKET_BYTES]).decode()
        media = {"track": "inbound", "payload": payload}
        frames.append(_json_frame({"event": "media", "media": media}))
    frames[0:2] = [frames[0] + frames[1]]
    return [*frames, _json_frame({"event": "stop"})]


def _json_frame(message: dict[str, Any]) -> bytes:
    return masked_frame(TEXT, json.dumps(message).encode())


class _Answer(msgspec.Struct):
    scores: dict[str, float]


class _Event(msgspec.Struct):
    """The part of an event that is compared."""

    event: str
    final: bool = False
    answer: _Answer | None = None


_decoder = msgspec.json.Decoder(_Event)


def percentiles(latencies_ms: Sequence[float]) -> str:
    """Return p50, p99 and the maximum as text."""
    if not latencies_ms:
        return "-"
    p50, p99, top = np.percentile(latencies_ms, [50, 99, 100])
    return f"p50 {p50:.1f}  p99 {p99:.1f}  max {top:.1f} ms"


@dataclass
class CallResults:
    """Final answers, and their latencies from when ``stop`` was due."""

    finals: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)


class LiveCall(asyncio.Protocol):
    """One connection: utterance after utterance."""

    def __init__(self, frames: list[bytes], expected: dict[str, float], found: CallResults) -> None:
        self._frames = frames
        self._expected = expected
        self._found = found
        self._transport: asyncio.Transport | None = None
        self._open = False
        self._data = b""
        self._next = 0
        self._stop_due = 0.0

    @property
    def is_silent(self) -> bool:
        """True if it has no connection."""
        return self._transport is None

    def tick(self, due: float, *, begin: bool) -> None:
        """Send what is due; a new utterance only if ``begin``."""
        if not self._open or self._transport is None:
            return
        if self._next == len(self._frames):
            if due - self._stop_due > LOST_S:
                self._transport.abort()
            return
        if self._next == 0 and not begin:
            return
        self._transport.write(self._frames[self._next])
        self._next += 1
        if self._next == len(self._frames):
            self._stop_due = due

    @property
    def is_idle(self) -> bool:
        """True between two utterances."""
        return self._next == 0

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        """Read the handshake's response, then frames."""
        self._data += data
        if not self._open:
            head, end, self._data = self._data.partition(b"\r\n\r\n")
            if not end:
                self._data = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._found.finals[head[:12].decode("latin-1")] += 1
                self.close()
                return
            self._open = True
        while (frame := _server_frame(self._data)) is not None:
            opcode, payload, self._data = frame
            if opcode in {TEXT, BINARY}:
                self._on_event(_decoder.decode(payload))
            elif opcode == PING and self._transport is not None:
                self._transport.write(masked_frame(PONG, payload))
            elif opcode == CLOSE:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """An utterance in progress is lost."""
        if self._next:
            self._found.finals["lost"] += 1
        self._transport, self._open, self._next, self._data = None, False, 0, b""

    def _on_event(self, event: _Event) -> None:
        if event.event != "error" and not event.final:
            return
        equal = event.answer is not None and event.answer.scores == self._expected
        self._found.finals["equal" if equal else "different"] += 1
        if self._next == len(self._frames):
            self._found.latencies_ms.append((time.perf_counter() - self._stop_due) * 1e3)
        self._next = 0


def _server_frame(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return opcode, payload and rest of an unmasked frame."""
    if len(data) < 2:
        return None
    size, start = data[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        return None
    return data[0] & 0xF, data[start : start + size], data[start + size :]


async def run_calls(
    address: tuple[str, int],
    frames: list[bytes],
    expected: dict[str, float],
    calls: int,
    seconds: float,
) -> CallResults:
    """Keep ``calls`` calls open for ``seconds``; each begins at another phase of an utterance."""
    found = CallResults()
    every = [LiveCall(frames, expected, found) for _ in range(calls)]
    loop = asyncio.get_running_loop()
    opening: set[asyncio.Task[Any]] = set()

    async def connect(call: LiveCall) -> None:
        try:
            await loop.create_connection(lambda: call, *address)
        except OSError as error:
            found.finals[type(error).__name__] += 1

    def reconnect() -> None:
        if len(opening) < 32:
            for call in [call for call in every if call.is_silent][: 32 - len(opening)]:
                task = loop.create_task(connect(call))
                opening.add(task)
                task.add_done_callback(opening.discard)

    opened = time.perf_counter()
    while any(call.is_silent for call in every):
        if time.perf_counter() - opened > LOST_S:
            missing = sum(call.is_silent for call in every)
            raise SystemExit(f"{missing} of {calls} calls did not connect: {dict(found.finals)}")
        reconnect()
        await asyncio.sleep(0.02)
    begun = time.perf_counter()
    number, next_check = 0, begun + _RECONNECT_S
    while True:
        due = begun + number * PACKET_S / calls
        if due > begun + seconds and (
            all(call.is_idle for call in every) or due > begun + seconds + LOST_S
        ):
            break
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(max(wait, _TICK_S))  # a shorter sleep would be a busy loop
        which = number % calls
        phase_s = UTTERANCE_S * (which * 0.618 % 1)
        every[which].tick(due, begin=begun + phase_s <= due <= begun + seconds)
        number += 1
        if due > next_check and due < begun + seconds:
            next_check = due + _RECONNECT_S
            reconnect()
        if not number % 64:
            await asyncio.sleep(0)  # answers are read even if sending is late
    for call in every:
        call.close()
    return found


def thread_cpu_s(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process's main thread, and of all others (Linux)."""
    own = others = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        except FileNotFoundError:
            continue
        if int(task.name) == pid:
            own = seconds
        else:
            others += seconds
    return own, others
