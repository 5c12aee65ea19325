"""Evaluation reports on predictions of a checkpoint or a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_models.evaluation.metrics import (
    Floats,
    Ints,
    bootstrap_macro_f1,
    calibration_error,
    class_scores,
    confusion,
    macro_f1,
    paired_bootstrap,
    softmax,
)

_DIGITS = 4


def report(
    targets: Ints,
    predicted: Ints,
    probabilities: Floats | None = None,
    *,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return macro-F1 with its 95 % bootstrap interval, accuracy, class scores, confusion, ECE.

    Where ``fear`` is a label, macro-F1 without it is reported too.

    Args:
        targets: true class numbers [rows].
        predicted: class numbers [rows].
        probabilities: [rows, classes], for the calibration error.
        labels: label words in class order.
    """
    classes = len(labels)
    matrix = confusion(targets, predicted, classes)
    precision, recall, f1 = class_scores(matrix)
    fear = without_fear(labels)
    rare = (
        {}
        if not fear
        else {
            "macro_f1_without_fear": _round(macro_f1(targets, predicted, classes, without=fear)),
            "macro_f1_without_fear_interval": _interval(
                bootstrap_macro_f1(targets, predicted, classes, without=fear)
            ),
        }
    )
    document: dict[str, Any] = {
        "rows": len(targets),
        "macro_f1": _round(macro_f1(targets, predicted, classes)),
        "macro_f1_interval": _interval(bootstrap_macro_f1(targets, predicted, classes)),
        **rare,
        "accuracy": _round(float((targets == predicted).mean())),
        "classes": {
            label: {
                "precision": _round(precision[index]),
                "recall": _round(recall[index]),
                "f1": _round(f1[index]),
                "rows": int(matrix[index].sum()),
            }
            for index, label in enumerate(labels)
        },
        "confusion": matrix.tolist(),
    }
    if probabilities is not None:
        document["calibration_error"] = _round(calibration_error(probabilities, targets))
    return document


def report_logits(
    targets: Ints,
    logits: NDArray[Any],
    temperature: float = 1.0,
    *,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return ``report`` of logits [rows, classes], with the calibration error before and after."""
    document = report(targets, logits.argmax(axis=1), softmax(logits, temperature), labels=labels)
    before = calibration_error(softmax(logits), targets)
    document["calibration_error_before"] = _round(before)
    return document


def compare(
    targets: Ints, first: Ints, second: Ints, *, labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Compare the macro-F1 of ``first`` and ``second``, with and without fear.

    Returns:
        The results of ``paired_bootstrap`` by ``macro_f1`` and ``macro_f1_without_fear``.
    """
    kinds: dict[str, tuple[int, ...]] = {"macro_f1": ()}
    if fear := without_fear(labels):
        kinds["macro_f1_without_fear"] = fear
    return {
        key: paired_bootstrap(targets, first, second, len(labels), without=without)
        for key, without in kinds.items()
    }


def without_fear(labels: Sequence[str]) -> tuple[int, ...]:
    """Return the class number of fear, which is rare in MEACorpus (37 of 5,129 rows)."""
    return tuple(index for index, label in enumerate(labels) if label == "fear")


def _round(value: float | np.floating[Any]) -> float:
    return round(float(value), _DIGITS)


def _interval(bounds: tuple[float, float]) -> list[float]:
    return [_round(bounds[0]), _round(bounds[1])]
