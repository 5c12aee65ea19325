"""The plan of a benchmark run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emo_bench.workload import Workload


@dataclass(frozen=True)
class Plan:
    """Options of the command line. ``queries`` is the total over all rounds."""

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
