"""Temperature scaling (Guo et al. 2017): calibrate probabilities with one parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_models.evaluation.metrics import softmax

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(
    logits: NDArray[Any], targets: NDArray[np.int64], weights: NDArray[Any] | None = None
) -> float:
    """Return the temperature with the lowest negative log likelihood on validation rows.

    Golden-section search over log T: in 1 / T the likelihood is convex, so there is one minimum.

    Args:
        logits: [rows, classes].
        targets: class numbers [rows].
        weights: of the rows; None: all rows weigh the same.
    """
    ratio = (np.sqrt(5) - 1) / 2
    low, high = np.log(LOWEST), np.log(HIGHEST)
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if log_loss(logits, targets, float(np.exp(left)), weights) < log_loss(
            logits, targets, float(np.exp(right)), weights
        ):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def fit_temperature_of_sets(parts: Sequence[tuple[NDArray[Any], NDArray[np.int64]]]) -> float:
    """Return the temperature for several sets of rows, each with the same weight.

    Args:
        parts: logits and targets of each set, as for ``fit_temperature``.
    """
    return fit_temperature(
        np.concatenate([logits for logits, _ in parts]),
        np.concatenate([targets for _, targets in parts]),
        np.concatenate([np.full(len(targets), 1 / len(targets)) for _, targets in parts]),
    )


def log_loss(
    logits: NDArray[Any],
    targets: NDArray[np.int64],
    temperature: float,
    weights: NDArray[Any] | None = None,
) -> float:
    """Return the mean (or weighted mean) negative log likelihood at a temperature."""
    probabilities = softmax(logits, temperature)[np.arange(len(targets)), targets]
    return float(-np.average(np.log(np.maximum(probabilities, 1e-300)), weights=weights))
