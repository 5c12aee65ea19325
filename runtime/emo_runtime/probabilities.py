"""Logits to probabilities."""

import numpy as np
from numpy.typing import NDArray


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of the last axis, computed in float64; each row sums to 1."""
    values = logits.astype(np.float64)
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Independent probabilities, computed in float64 without overflow."""
    values = logits.astype(np.float64)
    exponentials = np.exp(-np.abs(values))
    result: NDArray[np.float64] = np.where(values >= 0, 1.0, exponentials) / (1 + exponentials)
    return result
