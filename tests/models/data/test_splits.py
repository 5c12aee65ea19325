"""Splits by class and by speaker."""

import numpy as np
import pytest

from emo_models.data.corpora import Row
from emo_models.data.splits import split_rows, split_speakers
from emo_models.errors import DataError
from emo_models.labels import LABELS


def test_a_split_keeps_every_class_on_both_sides_and_is_repeatable() -> None:
    targets = [0] * 100 + [1] * 20 + [2] * 10
    fit, held = split_rows(targets, 0.1, 42)
    assert sorted(fit + held) == list(range(130))
    assert np.bincount([targets[i] for i in held]).tolist() == [10, 2, 1]
    assert (fit, held) == split_rows(targets, 0.1, 42)
    assert held != split_rows(targets, 0.1, 43)[1]
    with pytest.raises(DataError, match="can't be split"):
        split_rows([0, 1], 0.1, 42)


def rows(corpus: str, speakers: int, clips: int = 3) -> list[Row]:
    return [
        Row(f"{s}-{i}", LABELS[i], None, None, f"s{s}", f"{corpus}.csv, row {s}")
        for s in range(speakers)
        for i in range(clips)
    ]


def test_no_speaker_is_in_two_parts_and_every_corpus_in_all() -> None:
    given = rows("one", 9) + rows("two", 24)
    parts = split_speakers(given, 0.15, 0.25, seed=42)
    assert sum(map(len, parts)) == len(given)
    found = [{(row.where.split(",")[0], row.group) for row in part} for part in parts]
    assert sum(map(len, found)) == len(set.union(*found))
    for part in found:
        assert {corpus for corpus, _ in part} == {"one.csv", "two.csv"}
    with pytest.raises(DataError, match="at least 3 speakers"):
        split_speakers(rows("few", 2), 0.15, 0.25, seed=42)
