"""The measured process: one engine that handles requests from standard input.

Run as ``python -m emo_bench.worker.main``. Requests and replies are the structs of
``emo_bench.worker.protocol``, one JSON document per line. The first request is ``Open``. Output of
the engine's libraries goes to standard error.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable

import msgspec

from emo_bench.engines.base import Engine, StreamingEngine
from emo_bench.worker.protocol import (
    CallsResult,
    CostsResult,
    Done,
    Failed,
    GetMemory,
    GetOutcomes,
    LoadResult,
    LoadSettings,
    MeasureCosts,
    MemoryResult,
    Open,
    Opened,
    Outcomes,
    Request,
    RunCalls,
    RunLoad,
    WarmUp,
)
from emo_bench.worker.resources import (
    cpu_seconds,
    energy_joules,
    peak_memory_bytes,
    resident_memory_bytes,
)
from emo_bench.workload import Sample, load_samples

_DECODER = msgspec.json.Decoder(Request)
# Any of the result structs, or Failed.
Reply = msgspec.Struct


class ProtocolError(Exception):
    """A request came before ``Open``, or ``Open`` came twice."""


def serve(lines: Iterable[bytes], reply: Callable[[Reply], None]) -> None:
    """Answer requests until the input ends; an exception becomes a ``Failed`` reply."""
    engine: Engine | None = None
    samples: list[Sample] = []
    for line in lines:
        try:
            request = _DECODER.decode(line)
            if engine is not None:
                reply(handle(request, engine, samples))
            elif isinstance(request, Open):
                engine, samples, opened = _open(request)
                reply(opened)
            else:
                raise ProtocolError("the first request must be 'open'")
        except Exception as error:  # noqa: BLE001  (an engine may raise anything: it becomes a gap)
            reply(Failed(f"{type(error).__name__}: {error}"))


def _open(request: Open) -> tuple[Engine, list[Sample], Opened]:
    from emo_bench.engines.registry import open_engine

    samples = load_samples(request.workload)
    start = time.perf_counter()
    engine = open_engine(request.engine, request.options)
    open_s = time.perf_counter() - start
    return engine, samples, Opened(open_s, engine.describe(), engine.concurrency)


def handle(request: Request, engine: Engine, samples: list[Sample]) -> Reply:
    """Execute one request on an open engine."""
    match request:
        case WarmUp():
            for sample in samples[: request.count]:
                engine.answer(sample)
            return Done()
        case RunLoad():
            return _run_load(engine, samples, request.settings)
        case MeasureCosts():
            return _costs(engine, samples[: request.count])
        case GetOutcomes():
            return Outcomes([engine.answer(sample) for sample in samples[: request.count]])
        case RunCalls():
            return _run_calls(engine, samples, request)
        case GetMemory():
            return MemoryResult(peak_memory_bytes(), resident_memory_bytes(), cpu_seconds())
        case Open():
            raise ProtocolError("the engine is already open")


def _run_load(engine: Engine, samples: list[Sample], settings: LoadSettings) -> LoadResult:
    from emo_bench.worker.loadgen import run_load

    found = run_load(engine, samples, settings)
    return LoadResult(
        latencies_ms=found.latencies_ms.tolist(),
        queue_ms=found.queue_ms.tolist(),
        samples=found.samples.tolist(),
        duration_s=found.duration_s,
        answered=found.answered,
        summary=found.summary,
    )


def _run_calls(engine: Engine, samples: list[Sample], request: RunCalls) -> CallsResult:
    from emo_bench.worker.live import run_live

    if not isinstance(engine, StreamingEngine):
        raise ProtocolError("the engine has no streams")
    return run_live(
        engine,
        samples,
        calls=request.calls,
        duration_s=request.duration_s,
        seed=request.seed,
    )


def _costs(engine: Engine, samples: list[Sample]) -> CostsResult:
    joules, cpu_s = energy_joules(), cpu_seconds()
    outcomes = [engine.answer(sample) for sample in samples]
    spent_s, joules_after = cpu_seconds() - cpu_s, energy_joules()
    energy_j = None
    if joules is not None and joules_after is not None and joules_after >= joules:
        energy_j = (joules_after - joules) / len(samples)
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.phases))
    phases_ms = {
        name: sum(outcome.phases.get(name, 0.0) for outcome in outcomes) / len(outcomes)
        for name in names
    }
    return CostsResult(spent_s / len(samples), energy_j, phases_ms)


def main() -> None:
    """Serve standard input."""
    # Libraries print to standard output: replies use a separate descriptor.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(result: Reply) -> None:
        replies.write(msgspec.json.encode(result) + b"\n")
        replies.flush()

    serve(sys.stdin.buffer, reply)


if __name__ == "__main__":
    main()
