"""Temperature scaling (Guo et al. 2017): calibrate probabilities with one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    return _search(lambda temperature: log_loss(logits, targets, temperature, weights))


def fit_multi_label_temperature(logits: NDArray[Any], targets: NDArray[np.bool_]) -> float:
    """Return the temperature of a sigmoid with the lowest binary cross-entropy.

    Args:
        logits: [rows, labels].
        targets: whether each row has each label, [rows, labels].
    """
    signed = np.where(targets, -1.0, 1.0) * np.asarray(logits, np.float64)
    return _search(lambda temperature: float(np.logaddexp(0, signed / temperature).mean()))


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


def _search(loss: Callable[[float], float]) -> float:
    """Return the temperature with the lowest loss (golden-section search over its logarithm)."""
    ratio = (np.sqrt(5) - 1) / 2
    low, high = np.log(LOWEST), np.log(HIGHEST)
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(float(np.exp(left))) < loss(float(np.exp(right))):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def log_loss(
    logits: NDArray[Any],
    targets: NDArray[np.int64],
    temperature: float,
    weights: NDArray[Any] | None = None,
) -> float:
    """Return the mean (or weighted mean) negative log likelihood at a temperature."""
    probabilities = softmax(logits, temperature)[np.arange(len(targets)), targets]
    return float(-np.average(np.log(np.maximum(probabilities, 1e-300)), weights=weights))
