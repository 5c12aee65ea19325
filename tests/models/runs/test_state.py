"""A saved state is resumed by the same run only."""

import json
from pathlib import Path

import pytest
import torch

from emo_models.data.corpora import Row
from emo_models.errors import DataError
from emo_models.runs.state import begin_run, finish_run, rows_sha256

IDENTITY = {"options": {"epochs": 3, "pooling": "cls"}, "encoder weights": "ab", "rows": "cd"}


def test_another_run_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    ready: list[str] = []
    begin_run(tmp_path, IDENTITY, lambda: ready.append("first"))
    begin_run(tmp_path, {**IDENTITY, "rows": "ef"}, lambda: ready.append("no state yet"))
    begin_run(tmp_path, IDENTITY, lambda: ready.append("again"))
    (tmp_path / "state1.pt").touch()
    begin_run(tmp_path, IDENTITY, lambda: ready.append("resumed"))
    before = (tmp_path / "state.json").read_bytes()
    for changes, name in (
        ({"rows": "ef"}, "rows"),
        ({"encoder weights": "xy"}, "encoder weights"),
        ({"options": {"epochs": 4, "pooling": "cls"}}, "epochs"),
        ({"options": {"epochs": 3, "pooling": "mean"}}, "pooling"),
    ):
        with pytest.raises(DataError, match=f"a run with another {name}. Give"):
            begin_run(tmp_path, {**IDENTITY, **changes}, lambda: ready.append("refused"))
    assert ready == ["first", "no state yet", "again", "resumed"]
    assert (tmp_path / "state.json").read_bytes() == before
    finish_run(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_state_without_identity_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "state.pt").touch()
    with pytest.raises(DataError, match="encoder weights"):
        begin_run(tmp_path, json.loads(json.dumps(IDENTITY)), lambda: None)


def test_the_hash_of_rows_sees_texts_and_labels() -> None:
    row = Row("a", "joy", "hola", None, "", "")
    others = [
        Row("a", "fear", "hola", None, "", ""),
        Row("a", "joy", "holas", None, "", ""),
        Row("b", "joy", "hola", None, "", ""),
    ]
    assert len({rows_sha256([each]) for each in (row, *others)}) == 4
    assert rows_sha256([row]) == rows_sha256([Row("a", "joy", "hola", None, "g", "elsewhere")])


def test_the_identity_that_a_state_holds_can_be_loaded_again(tmp_path):
    """PyTorch refuses to load a Path where only weights are allowed."""
    identity = begin_run(tmp_path / "run", {"options": {"train": tmp_path / "a.csv"}}, lambda: None)
    torch.save({"identity": identity}, tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True)["identity"] == identity
    assert identity == {"options": {"train": str(tmp_path / "a.csv")}}
