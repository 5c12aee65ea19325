"""Arrivals against the definition of a Poisson process."""

import numpy as np
import pytest
from scipy import stats

from studies.poisson_arrivals import poisson_arrivals

RATE = 40.0


@pytest.fixture(scope="module")
def times():
    return poisson_arrivals(RATE, 20_000, seed=1)


def test_gaps_are_exponential_and_independent(times):
    gaps = np.diff(times, prepend=0.0)
    assert (gaps >= 0).all()
    assert stats.kstest(gaps, "expon", args=(0, 1 / RATE)).pvalue > 0.01
    assert abs(stats.spearmanr(gaps[:-1], gaps[1:]).statistic) < 0.03


def test_counts_of_a_second_are_poisson(times):
    counts = np.bincount(times.astype(int))[:-1]
    assert counts.mean() == pytest.approx(RATE, rel=0.03)
    assert counts.var() == pytest.approx(RATE, rel=0.2)


def test_the_seed_gives_the_same_times():
    np.testing.assert_array_equal(poisson_arrivals(5, 10, 3), poisson_arrivals(5, 10, 3))
    assert (poisson_arrivals(5, 10, 3) != poisson_arrivals(5, 10, 4)).all()
