"""Splits into training, validation and test: by class, and by speaker."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emo_models.data.corpora import Row
from emo_models.errors import DataError


def split_rows(targets: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return row numbers for training and validation, stratified by class.

    The paper states 90/10 and seed 42, but no method (section 4.1). A class of one row stays in
    training.
    """
    rng = np.random.default_rng(seed)
    labels = np.asarray(targets)
    held: list[int] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held.extend(int(m) for m in members[: round(len(members) * share)])
    if not held or len(held) == len(labels):
        raise DataError(
            f"{len(labels)} rows can't be split {1 - share:.0%}/{share:.0%}: give more rows."
        )
    chosen = set(held)
    return [i for i in range(len(labels)) if i not in chosen], sorted(held)


def split_speakers(
    rows: Sequence[Row], validation_share: float, test_share: float, seed: int
) -> tuple[list[Row], list[Row], list[Row]]:
    """Return rows for training, validation and test, disjoint by speaker.

    Speakers are drawn per corpus (rows of the same table), so that each part has every corpus.

    Raises:
        DataError: a row without speaker, or a corpus with too few speakers.
    """
    rng = np.random.default_rng(seed)
    part: dict[tuple[str, str], int] = {}
    for corpus in sorted({corpus_of(row) for row in rows}):
        speakers = sorted({row.group for row in rows if corpus_of(row) == corpus})
        if "" in speakers or len(speakers) < 3:
            raise DataError(
                f"{corpus}: needs a column speaker with at least 3 speakers to keep some unseen."
            )
        held = max(1, round(len(speakers) * test_share))
        tuned = max(1, round(len(speakers) * validation_share))
        for place, number in enumerate(rng.permutation(len(speakers))):
            kind = 2 if place < held else 1 if place < held + tuned else 0
            part[corpus, speakers[number]] = kind
    parts: tuple[list[Row], list[Row], list[Row]] = ([], [], [])
    for row in rows:
        parts[part[corpus_of(row), row.group]].append(row)
    return parts


def corpus_of(row: Row) -> str:
    """Return the table that a row came from."""
    return row.where.rsplit(", row ", 1)[0]
