"""Percentiles and intervals against numpy and scipy, and by simulation."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_bench.report.estimates import (
    PERCENTILES,
    estimate,
    mean_estimate,
    needed_samples,
    percentile,
    ratio_of_percentiles,
)


@pytest.mark.parametrize(
    ("wanted", "count"), [(50, 20), (90, 100), (95, 200), (99, 1_000), (99.9, 10_000)]
)
def test_ten_samples_must_lie_beyond_a_percentile(wanted, count):
    assert needed_samples(wanted) == count
    draw = np.random.default_rng(0)
    assert estimate(draw.normal(size=count - 1), wanted) is None
    found = estimate(draw.normal(size=count), wanted)
    assert found.low <= found.value <= found.high


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.floats(0.1, 99.9))
def test_a_percentile_is_the_smallest_value_that_covers_its_share(values, wanted):
    found = percentile(np.array(values), wanted)
    assert found in values
    assert np.mean(np.array(values) <= found) >= wanted / 100 - 1e-9
    below = [value for value in values if value < found]
    assert not below or np.mean(np.array(values) <= max(below)) < wanted / 100 + 1e-9


@pytest.mark.parametrize("wanted", [50, 90, 99])
def test_intervals_are_those_of_an_ordinary_bootstrap(wanted):
    values = np.random.default_rng(1).lognormal(1, 0.5, 2_000)
    ordinary = scipy.stats.bootstrap(
        (values,),
        lambda sample, axis: np.percentile(sample, wanted, axis=axis, method="inverted_cdf"),
        n_resamples=1_000,
        method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval
    found = estimate(values, wanted)
    assert found.value == percentile(values, wanted)
    width = ordinary.high - ordinary.low
    assert found.low == pytest.approx(ordinary.low, abs=0.25 * width)
    assert found.high == pytest.approx(ordinary.high, abs=0.25 * width)


@pytest.mark.parametrize("wanted", PERCENTILES[:4])
def test_intervals_cover_the_true_value_95_percent_of_the_time(wanted):
    truth = scipy.stats.lognorm(0.5).ppf(wanted / 100)
    draw = np.random.default_rng(3)
    held = 0
    for seed in range(400):
        found = estimate(draw.lognormal(0, 0.5, 1_000), wanted, seed)
        held += found.low <= truth <= found.high
    # Binomial: 400 tries at 0.95 give fewer than 360 once in 100,000 times.
    assert held >= 360


def test_the_mean():
    values = np.random.default_rng(4).exponential(3, 500)
    found = mean_estimate(values)
    error = values.std() / np.sqrt(500)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_ratios():
    draw = np.random.default_rng(5)
    old, new = draw.lognormal(0, 0.2, 2_000), 1.1 * draw.lognormal(0, 0.2, 2_000)
    found = ratio_of_percentiles(new, old, 50)
    assert found.low < 1.1 < found.high
    assert found.low > 1.05
    same = ratio_of_percentiles(old, draw.lognormal(0, 0.2, 2_000), 50)
    assert same.low < 1 < same.high
