"""Loss and validation figure of multi-label classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emo_models.data.multi_label import Matrix
from emo_models.evaluation.multi_label import macro_f1
from emo_models.evaluation.report import without_fear


def binary_loss(targets: Matrix, kind: str) -> nn.BCEWithLogitsLoss:
    """Return the binary cross-entropy, with weights of the rows that have a label.

    Args:
        targets: training targets [rows, labels].
        kind: ``none``, ``balanced`` (rows without a label / rows with it) or ``sqrt`` of that. A
            label of no row, or of all rows, weighs 1: there is nothing to balance.
    """
    if kind == "none":
        return nn.BCEWithLogitsLoss()
    positive = targets.sum(axis=0)
    negative = len(targets) - positive
    weights = np.where((positive > 0) & (negative > 0), negative / np.maximum(positive, 1), 1.0)
    if kind == "sqrt":
        weights = np.sqrt(weights)
    return nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights, dtype=torch.float32))


def smoothed(targets: Matrix, share: float) -> NDArray[np.float32]:
    """Return targets as probabilities, moved towards 0.5 by ``share``."""
    return (targets * (1 - share) + share / 2).astype(np.float32)


def multi_label_figure(
    targets: Matrix, logits: NDArray[Any], labels: Sequence[str], best_by: str
) -> float:
    """Return the score that selects the best epoch: macro-F1, with or without fear."""
    without = without_fear(labels) if best_by == "macro_f1_without_fear" else ()
    return macro_f1(targets, logits >= 0, without=without)
