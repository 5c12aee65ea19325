"""Plots of a report as PNG files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from emo_bench.report.schema import EngineReport, Measurement, Report

# Okabe and Ito's colours, safe for colour-blind readers, plus grey and brown.
_COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000"),
    "#8C564B",
)
_SCENARIO = "SingleStream"


def draw(report: Report, folder: Path) -> list[Path]:
    """Draw each plot for which the report has figures; return the paths."""
    paths = []
    for name, plot in (
        ("latency-cdf.png", _cdf),
        ("latency-over-tokens.png", _over_tokens),
        ("throughput-against-p99.png", _throughput),
        ("phases.png", _phases),
    ):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        if plot(report, axes):
            paths.append(folder / name)
            figure.savefig(paths[-1], dpi=150)
    return paths


def _cdf(report: Report, axes: Any) -> bool:
    for colour, engine, measurement in _of_scenario(report, _SCENARIO):
        latencies = np.sort(measurement.latencies_ms)
        shares = np.arange(1, len(latencies) + 1) / len(latencies)
        axes.step(latencies, shares, where="post", color=colour, label=engine.name)
    axes.set(xscale="log", xlabel="latency (ms)", ylabel="share of utterances")
    _plain_numbers(axes.xaxis)
    axes.set_title("Share of utterances answered within a latency")
    return _finish(axes)


def _over_tokens(report: Report, axes: Any) -> bool:
    for colour, engine, measurement in _of_scenario(report, _SCENARIO):
        if not any(measurement.tokens):
            continue
        tokens, latencies = np.array(measurement.tokens), np.array(measurement.latencies_ms)
        axes.scatter(tokens, latencies, s=6, alpha=0.25, color=colour, linewidths=0)
        edges = np.unique(np.percentile(tokens, np.linspace(0, 100, 9)))
        groups = np.digitize(tokens, edges[1:-1])
        medians = [
            (np.median(tokens[groups == group]), np.median(latencies[groups == group]))
            for group in np.unique(groups)
        ]
        axes.plot(*zip(*medians, strict=True), "o-", color=colour, label=engine.name)
    axes.set(xlabel="tokens", ylabel="latency (ms)")
    axes.set_ylim(bottom=0)
    axes.set_title("Latency by length of the transcript (line: medians)")
    return _finish(axes)


def _throughput(report: Report, axes: Any) -> bool:
    for colour, engine in zip(_cycle(), report.engines, strict=False):
        points = [
            (measurement.throughput, found.value, measurement.scenario)
            for measurement in engine.measurements
            if (found := measurement.percentiles.get("p99")) is not None
        ]
        for number, (throughput, p99, scenario) in enumerate(points):
            label = None if number else engine.name
            axes.scatter(throughput, p99, color=colour, label=label, zorder=3)
            axes.annotate(scenario, (throughput, p99), xytext=(5, 4), textcoords="offset points")
    axes.set(xlabel="utterances a second", ylabel="p99 (ms)", yscale="log")
    _plain_numbers(axes.yaxis)
    axes.margins(x=0.15)
    axes.set_title("Throughput against p99")
    return _finish(axes)


def _phases(report: Report, axes: Any) -> bool:
    engines = [engine for engine in report.engines if engine.costs and engine.costs.phases_ms]
    names = list(
        dict.fromkeys(
            name
            for engine in engines
            if engine.costs
            for name, value in engine.costs.phases_ms.items()
            if value and name != "total"
        )
    )
    left = np.zeros(len(engines))
    for colour, name in zip(_cycle(), names, strict=False):
        widths = [e.costs.phases_ms.get(name, 0.0) for e in engines if e.costs]
        axes.barh([e.name for e in engines], widths, 0.6, left, color=colour, label=name)
        left += np.array(widths)
    for place, total in enumerate(left):
        shown = f"{total:,.0f} ms" if total >= 100 else f"{total:.3g} ms"
        axes.annotate(shown, (total, place), (4, 0), textcoords="offset points", va="center")
    axes.set(xlabel="mean (ms)")
    axes.set_title("Time of an utterance by phase")
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.figure.set_size_inches(8, 1.8 + 0.4 * len(engines))
    return _finish(axes, "outside lower center", columns=len(names))


def _finish(axes: Any, place: str = "outside right upper", columns: int = 1) -> bool:
    """Add a legend beside the plot. Return True if anything was drawn."""
    if not axes.get_legend_handles_labels()[0]:
        return False
    axes.figure.legend(frameon=False, loc=place, ncols=columns)
    return True


def _plain_numbers(axis: Any) -> None:
    """Label a logarithmic axis with 1, 2, 5, 10 ... instead of powers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _of_scenario(report: Report, scenario: str) -> Iterator[tuple[str, EngineReport, Measurement]]:
    for colour, engine in zip(_cycle(), report.engines, strict=False):
        for measurement in engine.measurements:
            if measurement.scenario == scenario:
                yield colour, engine, measurement


def _cycle() -> Iterator[str]:
    while True:
        yield from _COLOURS
