"""Text and table cells, shared by the terminal output and report.md."""

from collections.abc import Iterable

from emo_bench.report.estimates import Estimate
from emo_bench.report.ratios import ratios
from emo_bench.report.schema import EngineReport, Measurement, Report, too_few

SHOWN = ("p50", "p90", "p95", "p99", "p99.9")
MEGABYTE = 1 << 20


def milliseconds(estimate: Estimate | None) -> str:
    """Return ``3.21 [3.18, 3.30]``, or a dash if there were too few samples."""
    if estimate is None:
        return "-"
    return f"{_short(estimate.value)} [{_short(estimate.low)}, {_short(estimate.high)}]"


def scenario_row(engine: EngineReport, measurement: Measurement) -> list[str]:
    """Return engine, scenario, samples, percentiles and utterances per second."""
    cells = [milliseconds(measurement.percentiles.get(name)) for name in SHOWN]
    if measurement.scenario == "Offline":
        cells = ["" for _ in SHOWN]
    count = len(measurement.latencies_ms)
    return [
        engine.name,
        measurement.scenario,
        f"{count:,}" if count else "",
        *cells,
        f"{measurement.throughput:,.1f}",
    ]


SCENARIO_HEADER = ("engine", "scenario", "samples", *SHOWN, "per second")


def engine_row(engine: EngineReport) -> list[str]:
    """Return load time, memory and sizes of an engine, and CPU and energy per utterance."""
    costs = engine.costs
    return [
        engine.name,
        "" if engine.open_s is None else f"{engine.open_s:.2f} s",
        _megabytes(engine.steady_memory_bytes),
        _megabytes(engine.peak_memory_bytes),
        _megabytes(engine.package_bytes),
        _megabytes(engine.model_bytes),
        "" if costs is None else f"{1e3 * costs.cpu_s:.2f} ms",
        "not offered" if costs is None or costs.energy_j is None else f"{costs.energy_j:.3f} J",
        ", ".join(f"{name} {value:.4g}" for name, value in engine.accuracy.items()),
    ]


ENGINE_HEADER = (
    *("engine", "open", "memory", "peak", "package", "model"),
    *("CPU each", "energy each", "accuracy"),
)


def phases(engine: EngineReport) -> str:
    """Return the mean time of each phase: ``decode 0.21 ms, ...``."""
    if engine.costs is None:
        return ""
    return ", ".join(
        f"{name} {value:.2f} ms" for name, value in engine.costs.phases_ms.items() if value
    )


def remarks(report: Report) -> list[str]:
    """Return warnings, gaps and missing percentiles."""
    lines = list(report.warnings)
    if report.interrupted:
        lines.append("interrupted: the report is incomplete")
    for engine in report.engines:
        if engine.failure is not None:
            lines.append(f"{engine.name} was not measured: {engine.failure}")
        lines += _gaps(engine)
    return lines


def figures(engine: EngineReport) -> Iterable[str]:
    """Return scenario-specific numbers, one line per scenario that has any."""
    for measurement in engine.measurements:
        if measurement.figures:
            shown = ", ".join(
                f"{name} {_short(value)}" for name, value in measurement.figures.items()
            )
            yield f"{engine.name} {measurement.scenario}: {shown}"


RATIO_HEADER = (
    "engine",
    "scenario",
    "median latency over the first engine's (range over the rounds)",
)


def ratio_rows(report: Report) -> list[list[str]]:
    """Return the table rows of the rivals' ratios, if there are any."""
    return [
        [found.other, found.scenario, f"x {milliseconds(found.ratio)}"] for found in ratios(report)
    ]


def machine_line(report: Report) -> str:
    """Return processor, cores and the most important versions."""
    found = report.machine
    versions = ", ".join(
        f"{name} {version}"
        for name, version in found["versions"].items()
        if name in {"emo-runtime", "onnxruntime", "torch"}
    )
    others = found.get("busy_others")
    busy = "" if others is None else f"; others used {others:.0%} of it"
    return (
        f"{found['cpu']}, {found['cores_usable']} cores ({found['cores_from']}), "
        f"Python {found['python']}, {versions}{busy}"
    )


def _gaps(engine: EngineReport) -> list[str]:
    lines = []
    for measurement in engine.measurements:
        missing = [name for name, found in measurement.percentiles.items() if found is None]
        if missing and measurement.latencies_ms:
            reason = too_few(missing[0], len(measurement.latencies_ms))
            also = f" (nor is {', '.join(missing[1:])} given)" if missing[1:] else ""
            lines.append(f"{engine.name} {measurement.scenario}: {reason}{also}")
    return lines


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _megabytes(size: int | None) -> str:
    return "" if not size else f"{size / MEGABYTE:,.1f} MB"
