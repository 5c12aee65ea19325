"""Percentiles with bootstrap intervals; None where there are too few samples."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
# A percentile is an order statistic: with fewer samples beyond it, it is unreliable.
SAMPLES_BEYOND = 10
_RESAMPLES = 1000
_CONFIDENCE = 0.95


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def needed_samples(percentile: float) -> int:
    """Return how many samples a percentile needs: ten beyond it on the side with fewer."""
    share = min(percentile, 100 - percentile) / 100
    return math.ceil(SAMPLES_BEYOND / share - 1e-9)


def percentile(values: Values, wanted: float) -> float:
    """Return the smallest value that at least ``wanted`` % do not exceed, as LoadGen does."""
    return float(np.percentile(values, wanted, method="inverted_cdf"))


def estimate(values: Values, wanted: float, seed: int = 0) -> Estimate | None:
    """Return a percentile with its interval; None if there are too few samples."""
    if len(values) < needed_samples(wanted):
        return None
    ordered = np.sort(values)
    rank = max(0, math.ceil(wanted / 100 * len(values) - 1e-9) - 1)
    # The rank-th value of a resample: draw the ranks, not the values. A resample's i-th smallest
    # rank of uniform draws is Beta distributed, so no resample is kept in memory.
    draw = np.random.default_rng(seed)
    shares = draw.beta(rank + 1, len(values) - rank, _RESAMPLES)
    places = np.minimum((shares * len(values)).astype(np.int64), len(values) - 1)
    low, high = np.percentile(ordered[places], _tails())
    return Estimate(float(ordered[rank]), float(low), float(high))


def mean_estimate(values: Values, seed: int = 0) -> Estimate:
    """Return the mean with its bootstrap interval."""
    draw = np.random.default_rng(seed)
    means = [float(draw.choice(values, len(values)).mean()) for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, _tails())
    return Estimate(float(values.mean()), float(low), float(high))


def ratio_of_percentiles(new: Values, old: Values, wanted: float, seed: int = 0) -> Estimate:
    """Return ``new`` / ``old`` at a percentile; both are resampled independently."""
    draw = np.random.default_rng(seed)
    ratios = []
    for _ in range(_RESAMPLES):
        upper = percentile(draw.choice(new, len(new)), wanted)
        lower = percentile(draw.choice(old, len(old)), wanted)
        ratios.append(upper / lower)
    low, high = np.percentile(ratios, _tails())
    return Estimate(percentile(new, wanted) / percentile(old, wanted), float(low), float(high))


def _tails() -> tuple[float, float]:
    tail = (1 - _CONFIDENCE) / 2 * 100
    return tail, 100 - tail
