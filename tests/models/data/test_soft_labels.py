from pathlib import Path

import numpy as np
import pytest

from emo_models.data.corpora import Needs, read_csv
from emo_models.data.soft_labels import soft_target
from emo_models.errors import DataError

HEADER = "text,label,score_joy,score_anger,score_fear\n"


def table(path: Path, rows: str, header: str = HEADER) -> Path:
    path.write_text(header + rows, encoding="utf-8")
    return path


def test_scores_of_rows_with_and_without_labels(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "hola,fear,0.7,0.2,0.1\nadiós,,0.1,0.3,0.6\nbueno,joy,,,\n")
    rows = read_csv(path, needs=Needs(text=True, label=False))
    assert [row.label for row in rows] == ["fear", "fear", "joy"]
    assert rows[0].scores == (("joy", 0.7), ("anger", 0.2), ("fear", 0.1))
    assert rows[2].scores == ()
    labels = ("anger", "disgust", "fear", "joy")
    np.testing.assert_allclose(soft_target(rows[0].scores, labels, "here"), [0.2, 0, 0.1, 0.7])


def test_rounded_scores_are_scaled_to_one() -> None:
    found = soft_target((("a", 0.333), ("b", 0.666)), ("a", "b"), "here")
    assert found.sum() == pytest.approx(1)


def test_a_table_of_scores_needs_no_label_column(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "hola,0.7,0.3\n", "text,score_joy,score_anger\n")
    assert read_csv(path)[0].label == "joy"


def test_a_single_score_column_is_something_else(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "hola,joy,57\n", "text,label,score_total\n")
    assert read_csv(path)[0].scores == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("hola,joy,0.7,x,0.1", "row 1: score_anger is 'x'; expected a probability"),
        ("hola,joy,0.7,,0.1", "score_anger is ''"),
        ("hola,joy,0.7,nan,0.1", "score_anger is 'nan'"),
        ("hola,joy,1.7,0.1,0.1", "score_joy is '1.7'"),
    ],
)
def test_bad_scores_name_the_cell(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_csv(table(tmp_path / "t.csv", row + "\n"))


def test_scores_must_be_a_distribution_over_known_labels() -> None:
    with pytest.raises(DataError, match=r"add up to 0\.900"):
        soft_target((("a", 0.5), ("b", 0.4)), ("a", "b"), "here")
    with pytest.raises(DataError, match="unknown label 'c'"):
        soft_target((("a", 0.5), ("c", 0.5)), ("a", "b"), "here")
