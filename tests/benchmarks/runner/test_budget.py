"""The division of a run's time between its scenarios."""

import pytest

from emo_bench.runner.budget import Budget


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


ALL = ("SingleStream", "MultiStream", "Server", "Offline", "stream", "cold")


def test_scenarios_that_use_their_limits_end_in_time():
    clock = Clock()
    budget = Budget(60, ALL, clock)
    for scenario in ALL:
        clock.now_s += budget.take(scenario)
    assert clock.now_s == pytest.approx(160)


def test_time_that_is_left_over_goes_to_the_scenarios_after_it():
    clock = Clock()
    budget = Budget(60, ("SingleStream", "MultiStream", "stream"), clock)
    assert budget.take("SingleStream") == pytest.approx(60 * 3 / 12)
    clock.now_s += 6  # of 15
    assert budget.take("MultiStream") == pytest.approx(54 * 3 / 9)
    clock.now_s += 18
    assert budget.take("stream") == pytest.approx(36)


def test_a_late_run_still_measures_each_scenario_for_a_moment():
    clock = Clock()
    budget = Budget(10, ("SingleStream", "cold"), clock)
    clock.now_s += 50
    assert budget.take("SingleStream") == 1
    assert budget.take("cold") == 1
