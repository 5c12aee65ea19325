"""report.json: everything measured, with the raw latencies, so that reports can be compared."""

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
    """One scenario of one engine; all rounds together.

    ``latencies_ms`` are those of the queries in the order of the rounds, ``rounds`` how many each
    round gave; ``percentiles`` has None where the samples are too few. ``tokens`` belongs to each
    query (0: not known). ``figures`` are scenario-specific numbers by name; ``settings`` say how
    it was asked; ``loadgen`` are LoadGen's own results of the last round.
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
    """What one utterance takes, from a plain pass over the workload."""

    cpu_s: float
    phases_ms: dict[str, float]
    energy_j: float | None = None


class EngineReport(msgspec.Struct, frozen=True):
    """One engine: what ran, what it costs, how right it is, and its measurements.

    ``failure`` says why a rival was not measured; then nothing else is there.
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
    """A whole report; ``warnings`` are what a reader must know before trusting a figure."""

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
    """Percentiles and intervals of the rounds' latencies in milliseconds."""
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
    """``{"p50": ..., "p99.9": None where too few}``."""
    return {f"p{wanted:g}": estimate(values, wanted) for wanted in PERCENTILES}


def too_few(name: str, count: int) -> str:
    """Why a percentile is not there."""
    return f"{name} needs {needed_samples(float(name[1:])):,} samples, {count:,} are there"


def encode_report(report: Report) -> bytes:
    """The bytes of report.json."""
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
    """JSON Schema of report.json, as kept in ``docs/report.schema.json``."""
    return msgspec.json.schema(Report)
