"""Write a report as Markdown: report.md."""

from collections.abc import Iterable, Sequence

from emo_bench.report import formatting as words
from emo_bench.report.schema import Report


def to_markdown(report: Report) -> str:
    """Return tables of latencies and costs, phases, remarks, and the machine."""
    lines = [
        "# emo-bench",
        "",
        f"{report.created}. {words.machine_line(report)}.",
        "",
        "## Latency in ms, with 95 % bootstrap intervals",
        "",
        *_table(
            words.SCENARIO_HEADER,
            (
                words.scenario_row(engine, measurement)
                for engine in report.engines
                for measurement in engine.measurements
            ),
        ),
        "",
        "Latencies are counted from when an utterance was scheduled (Server), due (stream) or "
        "asked for (SingleStream, MultiStream: the slowest of 8); cold is a fresh process.",
        "",
        "## Costs",
        "",
        *_table(
            words.ENGINE_HEADER,
            (words.engine_row(engine) for engine in report.engines if engine.failure is None),
        ),
        "",
    ]
    if rows := words.ratio_rows(report):
        lines += ["## Ratios", "", *_table(words.RATIO_HEADER, rows), ""]
    for engine in report.engines:
        if phases := words.phases(engine):
            lines += [f"{engine.name}, mean of each phase: {phases}.", ""]
        lines += [f"{line}.\n" for line in words.figures(engine)]
    if remarks := words.remarks(report):
        lines += ["## Warnings and gaps", "", *(f"- {line}" for line in remarks), ""]
    lines += ["## Workload", "", *_pairs(report.workload), "", "## Machine", ""]
    lines += [*_pairs(report.machine), ""]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _pairs(values: dict[str, object]) -> list[str]:
    return [f"- {name}: {_value(value)}" for name, value in values.items()]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
