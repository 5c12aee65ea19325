"""Compare two reports: significant differences and regressions."""

from dataclasses import dataclass

import numpy as np

from emo_bench.report.estimates import Estimate, needed_samples, ratio_of_percentiles
from emo_bench.report.schema import EngineReport, Measurement, Report

_COMPARED = (50.0, 99.0)


@dataclass(frozen=True)
class Difference:
    """Ratio of new to old at one percentile; above 1 is slower.

    ``significant``: the 95 % interval does not include 1. ``regression``: the whole interval is
    above 1 + the tolerance.
    """

    engine: str
    scenario: str
    percentile: str
    old_ms: float
    new_ms: float
    ratio: Estimate
    significant: bool
    regression: bool


def compare(old: Report, new: Report, tolerance: float) -> list[Difference]:
    """Return the differences at all percentiles, engines and scenarios that both reports have."""
    differences = []
    for engine in new.engines:
        other = next((item for item in old.engines if item.name == engine.name), None)
        if other is not None:
            differences += _of_engine(other, engine, tolerance)
    return differences


def _of_engine(old: EngineReport, new: EngineReport, tolerance: float) -> list[Difference]:
    by_scenario = {item.scenario: item for item in old.measurements}
    differences = []
    for measurement in new.measurements:
        other = by_scenario.get(measurement.scenario)
        if other is None:
            continue
        for wanted in _COMPARED:
            fewest = min(len(other.latencies_ms), len(measurement.latencies_ms))
            if fewest >= needed_samples(wanted):
                differences.append(_at(new.name, other, measurement, wanted, tolerance))
    return differences


def _at(
    engine: str, old: Measurement, new: Measurement, wanted: float, tolerance: float
) -> Difference:
    before, after = np.array(old.latencies_ms), np.array(new.latencies_ms)
    ratio = ratio_of_percentiles(after, before, wanted)
    old_ms = float(np.percentile(before, wanted, method="inverted_cdf"))
    return Difference(
        engine=engine,
        scenario=new.scenario,
        percentile=f"p{wanted:g}",
        old_ms=old_ms,
        new_ms=old_ms * ratio.value,
        ratio=ratio,
        significant=not ratio.low <= 1 <= ratio.high,
        regression=ratio.low > 1 + tolerance,
    )
