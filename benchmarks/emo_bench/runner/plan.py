"""What a benchmark run was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line. ``queries`` are those of all rounds together."""

    engines: Sequence[tuple[str, dict[str, Any]]]
    workload: dict[str, Any]
    scenarios: Sequence[str]
    queries: int
    rounds: int
    max_duration_s: float
    threads: int | None
    bound_ms: float
    calls: int
    seed: int
    bundle: str | None
