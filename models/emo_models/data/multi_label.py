"""Targets of multi-label classifiers: which labels each row has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emo_models.data.corpora import Row
from emo_models.labels import label_index

Matrix = NDArray[np.bool_]


def label_matrix(rows: Sequence[Row], labels: Sequence[str]) -> Matrix:
    """Return whether each row has each label, [rows, labels].

    Raises:
        DataError: a label that is not in ``labels``; names the row.
    """
    result = np.zeros((len(rows), len(labels)), np.bool_)
    for number, row in enumerate(rows):
        for word in row.words:
            result[number, label_index(word, labels, where=row.where)] = True
    return result


def rarest_labels(targets: Matrix) -> list[int]:
    """Return the rarest label of each row, by number; -1 for a row without labels.

    A split that is stratified by them gives every label its share of the validation rows.
    """
    order = np.argsort(targets.sum(axis=0), kind="stable")
    ranked = targets[:, order]
    rarest = np.where(ranked.any(axis=1), order[ranked.argmax(axis=1)], -1)
    return [int(number) for number in rarest]
