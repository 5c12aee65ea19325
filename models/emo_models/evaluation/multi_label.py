"""Reports on multi-label classifiers: F1 of each label, calibration, bootstrap intervals.

A label is predicted where its probability is at least 0.5: where its logit is not negative, at any
temperature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_models.evaluation.metrics import BINS, RESAMPLES, Floats, activate
from emo_models.evaluation.report import without_fear

THRESHOLD = 0.5
_DIGITS = 4

Matrix = NDArray[np.bool_]


def report_multi_label(
    targets: Matrix, probabilities: Floats, *, labels: Sequence[str]
) -> dict[str, Any]:
    """Return macro-F1 with its 95 % bootstrap interval, and precision, recall and F1 by label.

    ``accuracy`` is the share of rows whose set of labels is predicted exactly. Where ``fear`` is a
    label, macro-F1 without it is reported too.

    Args:
        targets: whether each row has each label, [rows, labels].
        probabilities: [rows, labels].
        labels: label words in class order.
    """
    predicted = np.asarray(probabilities) >= THRESHOLD
    counts = _counts(targets, predicted)
    precision, recall, f1 = label_scores(targets, predicted)
    document: dict[str, Any] = {"rows": len(targets), "multi_label": True}
    kinds: dict[str, tuple[int, ...]] = {"macro_f1": ()}
    if fear := without_fear(labels):
        kinds["macro_f1_without_fear"] = fear
    resampled = _resampled(targets, predicted)
    for name, without in kinds.items():
        document[name] = _round(_macro(counts, without))
        low, high = np.percentile(_macro(resampled, without), [2.5, 97.5])
        document[f"{name}_interval"] = [_round(low), _round(high)]
    hits, found, true = counts.sum(axis=1)
    document |= {
        "micro_f1": _round(2 * hits / max(found + true, 1)),
        "accuracy": _round((targets == predicted).all(axis=1).mean()),
        "calibration_error": _round(calibration_error(probabilities, targets)),
        "classes": {
            label: {
                "precision": _round(precision[index]),
                "recall": _round(recall[index]),
                "f1": _round(f1[index]),
                "rows": int(targets[:, index].sum()),
            }
            for index, label in enumerate(labels)
        },
        "rows_without_label": int((~targets.any(axis=1)).sum()),
    }
    return document


def report_multi_label_logits(
    targets: Matrix, logits: NDArray[Any], temperature: float = 1.0, *, labels: Sequence[str]
) -> dict[str, Any]:
    """Return the report of logits [rows, labels], with the calibration error before and after."""
    scaled = activate(logits, temperature, multi_label=True)
    document = report_multi_label(targets, scaled, labels=labels)
    before = calibration_error(activate(logits, multi_label=True), targets)
    document["calibration_error_before"] = _round(before)
    return document


def label_scores(targets: Matrix, predicted: Matrix) -> tuple[Floats, Floats, Floats]:
    """Return precision, recall and F1 of each label (scikit-learn's, with ``zero_division=0``)."""
    hits, found, true = _counts(targets, predicted).astype(np.float64)
    return (
        hits / np.maximum(found, 1),
        hits / np.maximum(true, 1),
        2 * hits / np.maximum(found + true, 1),
    )


def macro_f1(targets: Matrix, predicted: Matrix, *, without: Sequence[int] = ()) -> float:
    """Return the mean F1 over the labels that occur or are predicted, except ``without``."""
    return float(_macro(_counts(targets, predicted), without))


def calibration_error(probabilities: Floats, targets: Matrix, bins: int = BINS) -> float:
    """Return the expected calibration error of each label's probability, averaged over labels.

    In each bin of equal width, the mean probability is compared with the share of rows that have
    the label.
    """
    values = np.asarray(probabilities, np.float64)
    place = np.minimum((values * bins).astype(int), bins - 1)
    errors = [
        np.abs(np.bincount(place[:, k], targets[:, k] - values[:, k], minlength=bins)).sum()
        for k in range(values.shape[1])
    ]
    return float(np.mean(errors) / len(targets))


def _counts(targets: Matrix, predicted: Matrix) -> NDArray[np.int64]:
    """Return the numbers of hits, predicted rows and true rows by label, [3, labels]."""
    return np.stack(
        [(targets & predicted).sum(axis=0), predicted.sum(axis=0), targets.sum(axis=0)]
    ).astype(np.int64)


def _macro(counts: NDArray[np.int64], without: Sequence[int]) -> Any:
    """Return macro-F1 of counts [3, ..., labels]."""
    hits, found, true = counts
    f1 = 2 * hits / np.maximum(found + true, 1)
    used = (found + true) > 0
    used[..., list(without)] = False
    return (f1 * used).sum(axis=-1) / np.maximum(used.sum(axis=-1), 1)


def _resampled(targets: Matrix, predicted: Matrix, seed: int = 42) -> NDArray[np.int64]:
    """Return the counts of resampled rows, [3, resamples, labels]."""
    rng = np.random.default_rng(seed)
    rows = len(targets)
    parts = np.concatenate([targets & predicted, predicted, targets], axis=1).astype(np.int64)
    weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
    found: NDArray[np.int64] = (weights @ parts).reshape(RESAMPLES, 3, -1).transpose(1, 0, 2)
    return found


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), _DIGITS)
