"""The plan of a benchmark run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emo_bench.workload import Workload


@dataclass(frozen=True)
class Plan:
    """Options of the command line.

    ``queries`` is the total over all rounds. ``max_duration_s`` is the time limit of each scenario
    and engine; with ``budget_s``, a time limit of the whole run, the scenarios share that instead.
    """

    engines: Sequence[tuple[str, dict[str, Any]]]
    workload: Workload
    scenarios: Sequence[str]
    queries: int
    rounds: int
    max_duration_s: float
    threads: int | None
    bound_ms: float
    calls: int
    seed: int
    bundle: str | None
    budget_s: float | None = None
