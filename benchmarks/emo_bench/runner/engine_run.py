"""State of one engine during a run, and its part of the report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from emo_bench.engines.registry import OURS
from emo_bench.report.schema import Costs, EngineReport, Measurement, measure
from emo_bench.runner import machine
from emo_bench.runner.client import WorkerProcess
from emo_bench.worker.protocol import LoadResult, LoadSettings, MemoryResult, Opened


@dataclass(frozen=True)
class Round:
    """A measured LoadGen run."""

    settings: LoadSettings
    result: LoadResult


@dataclass
class EngineRun:
    """The worker of an engine, and its results so far.

    ``utterance_s`` is the time of an utterance in the warm-up; ``server_rate`` is the rate of the
    Server scenario; ``failure`` is the error that ended it.
    """

    name: str
    options: dict[str, Any]
    worker: WorkerProcess | None = None
    failure: str | None = None
    opened: Opened | None = None
    rounds: dict[str, list[Round]] = field(default_factory=dict)
    utterance_s: float = 0.0
    server_rate: float | None = None
    costs: Costs | None = None
    accuracy: dict[str, float] = field(default_factory=dict)
    memory: MemoryResult | None = None
    measurements: list[Measurement] = field(default_factory=list)

    def affordable(self, limit_s: float) -> int:
        """Return how many utterances the engine answers in a time, one after the other."""
        return max(1, int(limit_s / max(self.utterance_s, 1e-6)))


def engine_report(run: EngineRun, tokens: Sequence[int], bound_ms: float) -> EngineReport:
    """Return the report of an engine.

    Args:
        run: The engine.
        tokens: Number of tokens of each utterance.
        bound_ms: Bound of p99 in the Server scenario.
    """
    if run.failure is not None:
        return EngineReport(run.name, failure=run.failure)
    loads = [
        _measurement(scenario, rounds, tokens, bound_ms) for scenario, rounds in run.rounds.items()
    ]
    ours = run.name == OURS
    opened, memory = run.opened, run.memory
    description = {} if opened is None else opened.description
    return EngineReport(
        name=run.name,
        description=description,
        open_s=None if opened is None else opened.open_s,
        package_bytes=machine.package_bytes() if ours else None,
        model_bytes=description.get("model_bytes"),
        peak_memory_bytes=None if memory is None else memory.peak_bytes,
        steady_memory_bytes=None if memory is None else memory.resident_bytes,
        costs=run.costs,
        accuracy=run.accuracy,
        measurements=[*loads, *run.measurements],
    )


def _measurement(
    scenario: str, rounds: list[Round], tokens: Sequence[int], bound_ms: float
) -> Measurement:
    results = [item.result for item in rounds]
    settings = rounds[-1].settings
    figures = {}
    if scenario == "Server":
        figures = {"rate": settings.rate, "bound_ms": bound_ms}
    return measure(
        scenario,
        [np.array(result.latencies_ms) for result in results],
        throughput=sum(item.answered for item in results) / sum(i.duration_s for i in results),
        tokens=[tokens[index] for result in results for index in result.samples],
        queue_ms=np.concatenate([result.queue_ms for result in results]),
        figures=figures,
        settings=msgspec.to_builtins(settings),
        loadgen=results[-1].summary,
    )
