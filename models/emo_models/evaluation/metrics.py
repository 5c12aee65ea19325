"""Macro-F1, calibration error and bootstrap intervals, from class numbers and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.probabilities import sigmoid
from emo_runtime.probabilities import softmax as runtime_softmax

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 15
RESAMPLES = 2000


def confusion(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """Return the confusion counts [true class, predicted class]."""
    flat = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def class_scores(matrix: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 per class of confusion counts [..., true, predicted].

    A class that is never predicted has precision 0; a class that never occurs has recall 0
    (scikit-learn's ``zero_division=0``).
    """
    hits = np.diagonal(matrix, axis1=-2, axis2=-1).astype(np.float64)
    predicted, occurring = matrix.sum(-2), matrix.sum(-1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(occurring, 1)
    f1 = 2 * hits / np.maximum(predicted + occurring, 1)
    return precision, recall, f1


def macro_f1(targets: Ints, predicted: Ints, classes: int, *, without: Sequence[int] = ()) -> float:
    """Return the mean F1 over the classes that occur or are predicted, except ``without``.

    ``without`` only removes classes from the mean. Their rows stay: predicting another class for
    such a row still lowers that class's precision.
    """
    return float(_macro(confusion(targets, predicted, classes)[None], without)[0])


def calibration_error(probabilities: Floats, targets: Ints, bins: int = BINS) -> float:
    """Return the expected calibration error (Guo et al. 2017) with bins of equal width."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == targets
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(targets))


def bootstrap_macro_f1(
    targets: Ints,
    predicted: Ints,
    classes: int,
    *,
    without: Sequence[int] = (),
    seed: int = 42,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of macro-F1 over resampled rows."""
    scores = _resampled(targets, predicted, classes, without, seed)
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def paired_bootstrap(
    targets: Ints,
    first: Ints,
    second: Ints,
    classes: int,
    *,
    without: Sequence[int] = (),
    seed: int = 42,
) -> dict[str, float]:
    """Compare the macro-F1 of ``first`` and ``second`` on the same resampled rows.

    Returns:
        The difference (``first`` minus ``second``), its 95 % interval (low, high), and the share of
        resamples in which ``first`` was not better (a one-sided p-value).
    """
    differences = _resampled(targets, first, classes, without, seed) - _resampled(
        targets, second, classes, without, seed
    )
    low, high = np.percentile(differences, [2.5, 97.5])
    observed = macro_f1(targets, first, classes, without=without) - macro_f1(
        targets, second, classes, without=without
    )
    return {
        "difference": observed,
        "low": float(low),
        "high": float(high),
        "p": float((differences <= 0).mean()),
    }


def softmax(logits: NDArray[Any], temperature: float = 1.0) -> Floats:
    """Return softmax probabilities [rows, classes] of logits / temperature, in float64."""
    return runtime_softmax(np.asarray(logits, dtype=np.float64) / temperature)


def activate(
    logits: NDArray[Any], temperature: float = 1.0, *, multi_label: bool = False
) -> Floats:
    """Return probabilities [rows, classes]: sigmoid for multi-label networks, else softmax."""
    if multi_label:
        return sigmoid(np.asarray(logits, dtype=np.float64) / temperature)
    return softmax(logits, temperature)


def _resampled(
    targets: Ints, predicted: Ints, classes: int, without: Sequence[int], seed: int
) -> Floats:
    # Rows fall into cells of the confusion matrix; resampling rows is a multinomial over cells,
    # but two systems must see the same rows, so rows it is.
    rng = np.random.default_rng(seed)
    cells = targets * classes + predicted
    size = classes * classes
    matrices = np.stack(
        [
            np.bincount(cells[rng.integers(len(cells), size=len(cells))], minlength=size)
            for _ in range(RESAMPLES)
        ]
    )
    return _macro(matrices.reshape(-1, classes, classes), without)


def _macro(matrices: NDArray[Any], without: Sequence[int]) -> Floats:
    """Return the macro-F1 of confusion matrices [n, true, predicted]."""
    f1 = class_scores(matrices)[2]
    counts = (matrices.sum(-1) + matrices.sum(-2)) > 0
    counts[:, list(without)] = False
    result: Floats = (f1 * counts).sum(-1) / np.maximum(counts.sum(-1), 1)
    return result
