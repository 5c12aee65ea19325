"""Measure how many live calls two cores can answer while p99 meets a bound.

Open loop: utterances begin as a Poisson process, one every PERIOD_S per call on average. Packets of
20 ms arrive in real time, even if the system is late. The latency of an answer counts from when its
last packet was due. Each system runs in a separate process:

    python -m studies.live_calls ours --bundle BUNDLE [--calls 20 40 80]
    python -m studies.live_calls rival --text CHECKPOINT --fusion CHECKPOINT [--calls 2 4 8]

"rival" is the same system as described in the paper: transformers and librosa, in threads.
"""

import argparse
import heapq
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from studies.poisson_arrivals import poisson_arrivals

RATE = 8000
PACKET_S = 0.02
UTTERANCE_S = 5.0
PERIOD_S = 6.0
WORDS = (
    "Buenas tardes le llamo porque llevo varios días esperando una respuesta y nadie me dice nada "
    "claro sobre el pedido que hice la semana pasada en su tienda"
)


class Line(Protocol):
    """An utterance in progress."""

    def feed(self, packet: NDArray[np.int16]) -> None:
        """Feed 20 ms of sound."""

    def finish(self) -> Any:
        """Return the answer after the last packet."""


@dataclass(frozen=True)
class Trial:
    """Result of one load: latencies in ms from when the last packet was due."""

    calls: int
    latencies_ms: NDArray[np.float64]
    late_feeds_ms: NDArray[np.float64]

    def percentile(self, share: float) -> float:
        """Return a percentile of the latencies."""
        return float(np.percentile(self.latencies_ms, share))


def trial(open_line: Callable[[], Line], calls: int, seconds: float, workers: int) -> Trial:
    """Run ``calls`` calls for ``seconds``; feeds in this thread, answers in ``workers`` others."""
    random = np.random.default_rng(calls)
    sound = (3000 * random.standard_normal(int(UTTERANCE_S * RATE))).astype(np.int16)
    size = int(PACKET_S * RATE)
    packets = [sound[at : at + size] for at in range(0, len(sound), size)]
    count = max(1, round(calls / PERIOD_S * seconds))
    starts = poisson_arrivals(calls / PERIOD_S, count, seed=calls)
    events: list[tuple[float, int, int]] = [(start, line, 0) for line, start in enumerate(starts)]
    heapq.heapify(events)
    lines: dict[int, Line] = {}
    late: list[float] = []
    answers: list[tuple[float, Future[float]]] = []
    with ThreadPoolExecutor(workers) as pool:
        zero = time.perf_counter()
        while events:
            due, line, number = heapq.heappop(events)
            wait = due - (time.perf_counter() - zero)
            if wait > 0:
                time.sleep(wait)
            if number == 0:
                lines[line] = open_line()
            lines[line].feed(packets[number])
            late.append((time.perf_counter() - zero - due) * 1e3)
            if number + 1 < len(packets):
                heapq.heappush(events, (due + PACKET_S, line, number + 1))
            else:
                answers.append((due, pool.submit(_finish, lines.pop(line))))
        latencies = [(future.result() - zero - due) * 1e3 for due, future in answers]
    return Trial(calls, np.asarray(latencies), np.asarray(late))


def _finish(line: Line) -> float:
    line.finish()
    return time.perf_counter()


def ours(options: argparse.Namespace) -> Callable[[], Line]:
    """Return a function that opens streams of this package."""
    from emo_runtime import EmotionRecognizer

    recognizer = EmotionRecognizer.open(options.bundle, mode="throughput", warm=True)

    def open_line() -> Line:
        stream = recognizer.stream(sample_rate=RATE)
        stream.set_text(WORDS)
        return stream

    return open_line


def rival(options: argparse.Namespace) -> Callable[[], Line]:
    """Return a function that opens buffers, answered by transformers and librosa at the end."""
    import librosa
    import torch

    from emo_models.checkpoint import load_fusion
    from emo_models.modeling.load import load_encoder

    torch.set_num_threads(1)
    text = load_encoder(options.text)
    encoder, tokenizer = text.module, text.tokenizer
    fusion = load_fusion(options.fusion)

    class Buffer:
        def __init__(self) -> None:
            self.packets: list[NDArray[np.int16]] = []

        def feed(self, packet: NDArray[np.int16]) -> None:
            self.packets.append(packet)

        @torch.inference_mode()
        def finish(self) -> torch.Tensor:
            sound = np.concatenate(self.packets).astype(np.float32) / 32768
            sound = librosa.resample(sound, orig_sr=RATE, target_sr=22050)
            mfcc = librosa.feature.mfcc(y=sound, sr=22050, n_mfcc=128).mean(axis=1)
            inputs = tokenizer(WORDS, return_tensors="pt")
            state = encoder(**inputs).last_hidden_state
            present = torch.ones(1, 2) if fusion.config.present_input else None
            sound_and_text = torch.from_numpy(mfcc)[None], state.mean(dim=1)
            logits: torch.Tensor = fusion(*sound_and_text, present)
            return logits.softmax(-1)

    line = Buffer()
    line.feed(np.zeros(RATE, np.int16))
    line.finish()  # compile librosa's parts
    return Buffer


def main() -> None:
    """Print p50 and p99 of each load, and the largest load that meets the bound."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("system", choices=["ours", "rival"])
    parser.add_argument("--bundle", help="ours: a bundle (else the default)")
    parser.add_argument("--text", help="rival: an encoder's directory")
    parser.add_argument("--fusion", help="rival: a fusion checkpoint")
    parser.add_argument("--calls", type=int, nargs="+", default=[10, 20, 40, 80])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--bound-ms", type=float, default=200.0)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    open_line = ours(options) if options.system == "ours" else rival(options)
    print("calls  utterances  p50 ms  p99 ms  latest feed ms")
    held = 0
    for calls in options.calls:
        found = trial(open_line, calls, options.seconds, options.workers)
        print(
            f"{calls:5d}  {len(found.latencies_ms):10d}  {found.percentile(50):6.1f}  "
            f"{found.percentile(99):6.1f}  {found.late_feeds_ms.max():14.1f}",
            flush=True,
        )
        if found.percentile(99) > options.bound_ms:
            break
        held = calls
    print(f"held with p99 <= {options.bound_ms:g} ms: {held} calls")


if __name__ == "__main__":
    main()
