"""An engine while it is measured, and the report of what was found of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emo_bench.engines.registry import OURS
from emo_bench.report.schema import Costs, EngineReport, Measurement, measure
from emo_bench.runner import machine
from emo_bench.runner.client import WorkerProcess


@dataclass
class EngineRun:
    """An engine's worker, and what was found so far."""

    name: str
    options: dict[str, Any]
    worker: WorkerProcess | None = None
    failure: str | None = None
    opened: dict[str, Any] = field(default_factory=dict)
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    costs: Costs | None = None
    accuracy: dict[str, float] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)


def engine_report(run: EngineRun, tokens: Sequence[int], bound_ms: float) -> EngineReport:
    """Its report; ``tokens`` are those of each utterance, ``bound_ms`` is Server's bound."""
    if run.failure is not None:
        return EngineReport(run.name, failure=run.failure)
    loads = [
        _measurement(scenario, found, tokens, bound_ms) for scenario, found in run.rounds.items()
    ]
    ours = run.name == OURS
    return EngineReport(
        name=run.name,
        description=run.opened.get("description", {}),
        open_s=run.opened.get("open_s"),
        package_bytes=machine.package_bytes() if ours else None,
        model_bytes=run.opened.get("description", {}).get("model_bytes"),
        peak_memory_bytes=run.memory.get("peak_bytes"),
        steady_memory_bytes=run.memory.get("resident_bytes"),
        costs=run.costs,
        accuracy=run.accuracy,
        measurements=[*loads, *run.measurements],
    )


def _measurement(
    scenario: str, rounds: list[dict[str, Any]], tokens: Sequence[int], bound_ms: float
) -> Measurement:
    answered = sum(found["answered"] for found in rounds)
    seconds = sum(found["duration_s"] for found in rounds)
    figures = {}
    if scenario == "Server":
        figures = {
            "rate": rounds[-1]["settings"]["rate"],
            "bound_ms": bound_ms,
        }
    return measure(
        scenario,
        [np.array(found["latencies_ms"]) for found in rounds],
        throughput=answered / seconds,
        tokens=[tokens[index] for found in rounds for index in found["samples"]],
        queue_ms=np.concatenate([found["queue_ms"] for found in rounds]),
        figures=figures,
        settings=rounds[-1]["settings"],
        loadgen=rounds[-1]["summary"],
    )
