"""The stream scenario: live calls in real time with packets of 20 ms."""

import heapq
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from emo_bench.engines.base import StreamingEngine
from emo_bench.worker.protocol import CallsResult
from emo_bench.worker.resources import cpu_seconds
from emo_bench.workload import Sample
from emo_runtime.audio.decode import decode, resample

PACKET_S = 0.02
RATE = 8_000


@dataclass(order=True)
class _Event:
    """A packet of a call that is due, in seconds after the start."""

    due_s: float
    call: int
    packet: int = field(compare=False)


def run_live(
    engine: StreamingEngine,
    samples: Sequence[Sample],
    *,
    calls: int,
    duration_s: float,
    seed: int,
) -> CallsResult:
    """Run ``calls`` concurrent calls, utterance after utterance, for ``duration_s`` seconds.

    Latencies count from the moment a packet was due: ``feed_ms`` for every packet, ``finish_ms``
    for the answer after the last packet of an utterance. Waiting for a busy engine is included.
    """
    run = _Run(engine, _packets(samples), calls, duration_s, seed)
    before_s, start = cpu_seconds(), time.perf_counter()
    threads = [
        threading.Thread(target=run.work, name=f"calls-{number}")
        for number in range(engine.concurrency)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if run.error is not None:
        raise run.error
    return CallsResult(
        finish_ms=run.finish_ms,
        feed_ms=run.feed_ms,
        tokens=run.tokens,
        sound_s=run.sound_s,
        cpu_s=cpu_seconds() - before_s,
        duration_s=time.perf_counter() - start,
    )


def _packets(samples: Sequence[Sample]) -> list[tuple[str, list[bytes]]]:
    """Return (transcript, packets of 16-bit samples at 8 kHz) of each utterance with sound."""
    size = round(PACKET_S * RATE) * 2
    utterances = []
    for sample in samples:
        if sample.audio is None:
            continue
        mono = np.clip(resample(decode(sample.audio), RATE), -1, 1 - 2**-15)
        data = np.round(mono * 32768).astype("<i2").tobytes()
        utterances.append((sample.text, [data[at : at + size] for at in range(0, len(data), size)]))
    return utterances


class _Run:
    def __init__(
        self,
        engine: StreamingEngine,
        utterances: list[tuple[str, list[bytes]]],
        calls: int,
        duration_s: float,
        seed: int,
    ) -> None:
        self.finish_ms: list[float] = []
        self.feed_ms: list[float] = []
        self.tokens: list[int] = []
        self.sound_s = 0.0
        self.error: Exception | None = None
        self._utterances = utterances
        self._duration_s = duration_s
        draw = np.random.default_rng(seed)
        self._next = list(range(calls))
        self._streams = [engine.stream(RATE) for _ in range(calls)]
        # Spread the starts over one second.
        starts = draw.uniform(0, 1, calls)
        self._due = [_Event(float(starts[call]), call, 0) for call in range(calls)]
        heapq.heapify(self._due)
        self._lock = threading.Lock()
        self._start = time.perf_counter()

    def work(self) -> None:
        """Feed packets in the order in which they are due until the time is up."""
        while self.error is None:
            with self._lock:
                if not self._due:
                    return
                event = heapq.heappop(self._due)
            if (wait_s := event.due_s - self._now_s()) > 0:
                time.sleep(wait_s)
            try:
                following = self._feed(event)
            except Exception as error:  # noqa: BLE001  (raised again by run_live)
                self.error = error
                return
            if following is not None:
                with self._lock:
                    heapq.heappush(self._due, following)

    def _feed(self, event: _Event) -> _Event | None:
        stream = self._streams[event.call]
        text, packets = self._utterances[self._next[event.call] % len(self._utterances)]
        packet = packets[event.packet]
        stream.feed(packet)
        self.feed_ms.append((self._now_s() - event.due_s) * 1e3)
        end_s = event.due_s + PACKET_S
        if event.packet + 1 < len(packets):
            return _Event(end_s, event.call, event.packet + 1)
        stream.set_text(text)
        answer = stream.finish()
        self.finish_ms.append((self._now_s() - event.due_s) * 1e3)
        self.tokens.append(answer.tokens)
        self.sound_s += stream.duration_s
        stream.reset()
        self._next[event.call] += len(self._streams)
        return _Event(end_s, event.call, 0) if end_s < self._duration_s else None

    def _now_s(self) -> float:
        return time.perf_counter() - self._start
