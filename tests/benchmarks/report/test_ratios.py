"""Ratios are taken round by round."""

import numpy as np
import pytest

from emo_bench.report.ratios import ratios, round_medians
from emo_bench.report.schema import EngineReport, measure
from helpers.reports import report

# The machine slows down threefold in the middle: absolute medians mean little, ratios all.
ROUNDS = [np.full(30, level) for level in (1.0, 1.0, 3.0, 3.0)]


def test_a_drifting_machine_does_not_move_a_ratio():
    ours = EngineReport("emo", measurements=[measure("SingleStream", ROUNDS, throughput=1)])
    rounds = [2.5 * values for values in ROUNDS]
    rival = EngineReport("rival", measurements=[measure("SingleStream", rounds, throughput=1)])
    gap = EngineReport("missing", failure="it is not installed")
    [found] = ratios(report(engines=[ours, rival, gap]))
    assert (found.other, found.scenario) == ("rival", "SingleStream")
    assert found.ratio.low == found.ratio.high == pytest.approx(2.5)
    np.testing.assert_array_equal(round_medians(ours.measurements[0]), [1, 1, 3, 3])


def test_scenarios_without_latencies_have_no_ratio():
    offline = EngineReport("emo", measurements=[measure("Offline", [], throughput=1)])
    assert list(ratios(report(engines=[offline, offline]))) == []
