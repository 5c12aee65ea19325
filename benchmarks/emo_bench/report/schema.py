"""Schema of report.json: all results with the raw latencies, so that reports can be compared."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from emo_bench.report.estimates import (
    PERCENTILES,
    Estimate,
    Values,
    estimate,
    mean_estimate,
    needed_samples,
)
from emo_runtime.errors import EmoError

SCHEMA = "emo-report/1"


class Measurement(msgspec.Struct, frozen=True):
    """Results of one engine in one scenario, over all rounds.

    Attributes:
        latencies_ms: Latency of each query, in the order of the rounds.
        rounds: Number of queries of each round.
        percentiles: None where there are too few samples.
        tokens: Number of tokens of each query; 0 if unknown.
        figures: Scenario-specific numbers by name.
        settings: Settings of the load.
        loadgen: LoadGen's own results of the last round.
    """

    scenario: str
    latencies_ms: list[float]
    rounds: list[int]
    percentiles: dict[str, Estimate | None]
    mean_ms: Estimate | None
    throughput: float
    tokens: list[int] = []
    queue_ms: dict[str, Estimate | None] = {}
    figures: dict[str, float] = {}
    settings: dict[str, Any] = {}
    loadgen: dict[str, float] = {}


class Costs(msgspec.Struct, frozen=True):
    """CPU time, energy and phases of one utterance, from a plain pass over the workload."""

    cpu_s: float
    phases_ms: dict[str, float]
    energy_j: float | None = None


class EngineReport(msgspec.Struct, frozen=True):
    """Description, costs, accuracy and measurements of one engine.

    ``failure`` is the reason why a rival was not measured; the other fields are empty then.
    """

    name: str
    failure: str | None = None
    description: dict[str, Any] = {}
    open_s: float | None = None
    package_bytes: int | None = None
    model_bytes: int | None = None
    peak_memory_bytes: int | None = None
    steady_memory_bytes: int | None = None
    costs: Costs | None = None
    accuracy: dict[str, float] = {}
    measurements: list[Measurement] = []


class Report(msgspec.Struct, frozen=True):
    """A report; ``warnings`` are conditions that make its figures less reliable."""

    schema: Literal["emo-report/1"]
    created: str
    machine: dict[str, Any]
    workload: dict[str, Any]
    engines: list[EngineReport]
    warnings: list[str] = []
    interrupted: bool = False


def measure(
    scenario: str,
    rounds: list[Values],
    *,
    throughput: float,
    tokens: list[int] | None = None,
    queue_ms: Values | None = None,
    figures: dict[str, float] | None = None,
    settings: dict[str, Any] | None = None,
    loadgen: dict[str, float] | None = None,
) -> Measurement:
    """Return a measurement with the percentiles and intervals of the rounds' latencies."""
    latencies = np.concatenate(rounds) if rounds else np.empty(0)
    return Measurement(
        scenario=scenario,
        latencies_ms=[round(float(value), 4) for value in latencies],
        rounds=[len(values) for values in rounds],
        percentiles=percentiles(latencies),
        mean_ms=mean_estimate(latencies) if len(latencies) > 1 else None,
        throughput=throughput,
        tokens=tokens or [],
        queue_ms=percentiles(queue_ms) if queue_ms is not None and len(queue_ms) else {},
        figures=figures or {},
        settings=settings or {},
        loadgen=loadgen or {},
    )


def percentiles(values: Values) -> dict[str, Estimate | None]:
    """Return ``{"p50": ..., "p99.9": ...}``; None where there are too few samples."""
    return {f"p{wanted:g}": estimate(values, wanted) for wanted in PERCENTILES}


def too_few(name: str, count: int) -> str:
    """Return the reason for which a percentile is missing."""
    return f"{name} needs {needed_samples(float(name[1:])):,} samples, {count:,} are there"


def encode_report(report: Report) -> bytes:
    """Return the bytes of report.json."""
    return msgspec.json.encode(report) + b"\n"


def read_report(path: Path) -> Report:
    """Read a report.json. Raises EmoError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except OSError as error:
        raise EmoError(f"{path}: can't be read: {error.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EmoError(f"{path}: not a report of emo-bench ({SCHEMA}): {error}.") from None


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of report.json, as kept in ``docs/report.schema.json``."""
    return msgspec.json.schema(Report)
