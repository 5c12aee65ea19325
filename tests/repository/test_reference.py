"""emo-bundle verify --reference: the shipped bundle against the shipped checkpoint in PyTorch."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from emo_runtime.cli.bundle import main

CHECKPOINT = Path(__file__).resolve().parents[2] / "models/checkpoints/emo-es-small"
BUNDLE = Path(__file__).resolve().parents[2] / "models/emo_models/bundles/emo_es_small"
ROWS = """text,label
¡Esto es una vergüenza!,anger
Me alegro mucho por ti.,joy
Lo echo de menos.,sadness
"""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def verify(*arguments: str | Path):
    return CliRunner().invoke(main, ["verify", str(BUNDLE), *map(str, arguments)])


def test_the_shipped_bundle_answers_as_its_checkpoint(rows):
    result = verify("--reference", CHECKPOINT, "--evaluate", rows, "--json")
    assert result.exit_code == 0, result.output
    comparisons = json.loads(result.stdout)["reference"]["comparisons"]
    assert {item["task"] for item in comparisons} == {"text", "fusion", "audio"}
    assert all(item["rows"] == 3 and item["agreement"] == 1 for item in comparisons)
    differences = {item["task"]: item["largest_probability_difference"] for item in comparisons}
    assert all(difference < 0.05 for difference in differences.values())
    # The task audio has no int8 graph: its difference may vanish in the rounding.
    assert differences["text"] > 0
    assert differences["fusion"] > 0


def test_less_agreement_than_asked_for_is_a_gate(rows):
    result = verify("--reference", CHECKPOINT, "--evaluate", rows, "--min-agreement", "1.01")
    assert result.exit_code == 3
    assert "label agreement 1.0000 < 1.01" in result.stderr


def test_another_checkpoint_is_refused(rows, tmp_path):
    other = Path(shutil.copytree(CHECKPOINT / "text", tmp_path / "other"))
    weights = load_file(other / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    result = verify("--reference", other, "--evaluate", rows)
    assert result.exit_code == 1
    assert "made from text weights" in result.stderr
