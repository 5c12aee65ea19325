"""Latency ratios of engines in each round: machine drift affects both sides of a ratio."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emo_bench.report.estimates import Estimate, Values
from emo_bench.report.schema import EngineReport, Measurement, Report


@dataclass(frozen=True)
class Ratio:
    """Ratio of an engine's median latency to the first engine's, in one scenario.

    ``ratio`` is the median over the rounds, with the smallest and the largest as its interval.
    """

    scenario: str
    other: str
    ratio: Estimate


def ratios(report: Report) -> Iterator[Ratio]:
    """Compare all engines with the first one, in scenarios with latencies of both."""
    first, *others = report.engines
    for measurement in first.measurements:
        own = round_medians(measurement)
        for engine in others:
            rounds = round_medians(_of(engine, measurement.scenario))
            count = min(len(own), len(rounds))
            if count:
                found = rounds[:count] / own[:count]
                estimate = Estimate(float(np.median(found)), float(found.min()), float(found.max()))
                yield Ratio(measurement.scenario, engine.name, estimate)


def round_medians(measurement: Measurement | None) -> Values:
    """Return the median latency of each round."""
    if measurement is None or not measurement.latencies_ms:
        return np.empty(0)
    ends = np.cumsum(measurement.rounds)
    parts = np.split(np.array(measurement.latencies_ms), ends[:-1])
    return np.array([np.median(part) for part in parts])


def _of(engine: EngineReport, scenario: str) -> Measurement | None:
    found = (item for item in engine.measurements if item.scenario == scenario)
    return next(found, None)
