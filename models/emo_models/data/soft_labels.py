"""Soft labels: a teacher's probabilities in the columns ``score_LABEL`` of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emo_models.errors import DataError
from emo_models.labels import label_index, map_label

PREFIX = "score_"
_TOLERANCE = 0.02  # of the sum of a row's probabilities, which are written with few digits

Scores = tuple[tuple[str, float], ...]


def score_columns(columns: Iterable[str], label_map: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of the score columns of a table, by column name.

    A single such column is something else: probabilities need two labels.
    """
    found = {
        column: map_label(column.removeprefix(PREFIX), label_map)
        for column in columns
        if column.startswith(PREFIX) and column != PREFIX
    }
    return found if len(found) > 1 else {}


def read_scores(record: Mapping[str, str], columns: Mapping[str, str], where: str) -> Scores:
    """Return the probabilities of a row by label; empty if all of its cells are empty.

    Raises:
        DataError: a cell that is not a number from 0 to 1, or a row that is filled in part.
    """
    cells = {label: record[column].strip() for column, label in columns.items()}
    if not any(cells.values()):
        return ()
    return tuple((label, _probability(cell, label, where)) for label, cell in cells.items())


def most_probable(scores: Scores) -> str:
    """Return the label with the largest probability; the first of several."""
    return max(scores, key=lambda entry: entry[1])[0]


def soft_target(scores: Scores, labels: Sequence[str], where: str) -> NDArray[np.float32]:
    """Return the probabilities in class order, scaled so that their sum is 1.

    A label without a score column has the probability 0.

    Raises:
        DataError: a score of an unknown label, or a sum that is not 1.
    """
    result = np.zeros(len(labels), np.float32)
    for label, value in scores:
        result[label_index(label, labels, where=where)] += value
    total = float(result.sum())
    if abs(total - 1) > _TOLERANCE:
        raise DataError(
            f"{where}: the columns {PREFIX}LABEL add up to {total:.3f}, not to 1. Give the "
            "probabilities of all labels (emo-predict --scores writes them)."
        )
    return result / np.float32(total)


def _probability(cell: str, label: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # NaN too
        raise DataError(
            f"{where}: {PREFIX}{label} is {cell!r:.40}; expected a probability from 0 to 1."
        )
    return value
