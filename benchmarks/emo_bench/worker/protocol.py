"""Messages between the measuring process and a worker: one JSON document per line.

The field ``command`` names the struct of a request. The reply is either
the result type that belongs to the request, or ``Failed``.
"""

from typing import Any, Literal

import msgspec

from emo_bench.engines.base import Outcome
from emo_bench.workload import Workload

Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]


class LoadSettings(msgspec.Struct, frozen=True):
    """A LoadGen run: at least ``queries`` queries (Offline: samples) or ``max_duration_s``.

    ``rate`` is the arrival rate of the Server scenario in queries per second.
    """

    scenario: Scenario
    queries: int
    max_duration_s: float
    rate: float = 1000.0
    seed: int = 0


class Open(msgspec.Struct, frozen=True, tag_field="command", tag="open"):
    """Open an engine and load the workload. The first request of every worker."""

    engine: str
    options: dict[str, Any]
    workload: Workload


class WarmUp(msgspec.Struct, frozen=True, tag_field="command", tag="warm_up"):
    """Answer the first ``count`` utterances without measuring."""

    count: int


class RunLoad(msgspec.Struct, frozen=True, tag_field="command", tag="run_load"):
    """Run one LoadGen scenario."""

    settings: LoadSettings


class MeasureCosts(msgspec.Struct, frozen=True, tag_field="command", tag="measure_costs"):
    """Answer the first ``count`` utterances one after another and measure CPU and phases."""

    count: int


class GetOutcomes(msgspec.Struct, frozen=True, tag_field="command", tag="get_outcomes"):
    """Return the answers to the first ``count`` utterances."""

    count: int


class RunCalls(msgspec.Struct, frozen=True, tag_field="command", tag="run_calls"):
    """Run ``calls`` live calls in real time for ``duration_s`` seconds."""

    calls: int
    duration_s: float
    seed: int


class GetMemory(msgspec.Struct, frozen=True, tag_field="command", tag="get_memory"):
    """Return memory and CPU time of the worker."""


Request = Open | WarmUp | RunLoad | MeasureCosts | GetOutcomes | RunCalls | GetMemory


class Opened(msgspec.Struct, frozen=True):
    """Result of ``Open``."""

    open_s: float
    description: dict[str, Any]
    concurrency: int


class Done(msgspec.Struct, frozen=True):
    """Result of ``WarmUp``."""


class LoadResult(msgspec.Struct, frozen=True):
    """Result of ``RunLoad``: see ``emo_bench.worker.loadgen.Load``."""

    latencies_ms: list[float]
    queue_ms: list[float]
    samples: list[int]
    duration_s: float
    answered: int
    summary: dict[str, float]


class CostsResult(msgspec.Struct, frozen=True):
    """Result of ``MeasureCosts``: means over the utterances."""

    cpu_s: float
    energy_j: float | None
    phases_ms: dict[str, float]


class Outcomes(msgspec.Struct, frozen=True):
    """Result of ``GetOutcomes``."""

    outcomes: list[Outcome]


class CallsResult(msgspec.Struct, frozen=True):
    """Result of ``RunCalls``; latencies count from the moment a packet was due."""

    finish_ms: list[float]
    feed_ms: list[float]
    tokens: list[int]
    sound_s: float
    cpu_s: float
    duration_s: float


class MemoryResult(msgspec.Struct, frozen=True):
    """Result of ``GetMemory``."""

    peak_bytes: int
    resident_bytes: int | None
    cpu_s: float


class Failed(msgspec.Struct, frozen=True):
    """Reply to a request that raised."""

    error: str
