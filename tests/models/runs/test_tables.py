"""Tables that a run writes are read back by the reader of corpora, with the same rows."""

import csv
from pathlib import Path

import numpy as np
import pytest

from emo_models.data.corpora import Needs, Row, read_csv
from emo_models.data.pairs import Pairs
from emo_models.errors import DataError
from emo_models.runs.tables import BASELINE, tables_of, write_clips, write_pairs, write_rows

TEXTS = [
    Row("a", "joy", 'dijo "sí", y\nse fue', None, "", ""),
    Row("b", "fear", "qué miedo", None, "", ""),
]


@pytest.fixture
def clips(tmp_path: Path) -> list[Row]:
    found = []
    for number, label in enumerate(("fear", "joy")):
        path = tmp_path / f"{label}.wav"
        path.touch()
        found.append(Row(str(number), label, None, path, "", ""))
    return found


def test_rows_with_the_baselines_predictions(tmp_path: Path) -> None:
    write_rows(tmp_path, "test", TEXTS, ("fear", "joy"), np.array([0, 0]))
    [(name, path)] = tables_of(tmp_path, "rows")
    assert name == "test"
    assert [(row.id, row.label, row.text) for row in read_csv(path)] == [
        (row.id, row.label, row.text) for row in TEXTS
    ]
    with path.open(encoding="utf-8", newline="") as stream:
        assert [row[BASELINE] for row in csv.DictReader(stream)] == ["fear", "fear"]


def test_pairs_and_clips(tmp_path: Path, clips: list[Row]) -> None:
    pairs = Pairs(audio=np.array([1, 0]), text=np.array([0, 1]), labels=np.array([1, 0]))
    write_pairs(tmp_path, "test", pairs, TEXTS, clips)
    write_clips(tmp_path, "test", clips)
    [(_, path)] = tables_of(tmp_path, "pairs")
    found = read_csv(path, needs=Needs(text=True, audio=True))
    assert [(row.label, row.text, row.audio) for row in found] == [
        ("joy", TEXTS[0].text, clips[1].audio),
        ("fear", TEXTS[1].text, clips[0].audio),
    ]
    [(_, path)] = tables_of(tmp_path, "clips")
    found = read_csv(path, needs=Needs(audio=True))
    assert [row.audio for row in found] == [row.audio for row in clips]


def test_a_run_without_test_sets_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no pairs_\*\.csv\. Give the directory of a run"):
        tables_of(tmp_path, "pairs")
