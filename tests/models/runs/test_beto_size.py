"""The paper's systems at their full size, with random weights: BETO's own are not used."""

import json
from pathlib import Path

import pytest

from emo_models.labels import LABELS
from helpers.corpora import CLIPS, DATA, needs
from helpers.processes import run_python

EMOSPEECH = DATA / "emospeech"
TABLES = ("--train", EMOSPEECH / "train.csv", "--test", EMOSPEECH / "test.csv",
          "--exclude", EMOSPEECH / "test.csv", "--limit", "100", "--epochs", "1")  # fmt: skip


def command(module: str, *arguments: str | Path) -> str:
    done = run_python("-m", module, *arguments, timeout=1800)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.endurance
@needs("beto")
@needs("emospeech")
@needs("nemo")
@needs("ravdess")
def test_an_epoch_of_both_tasks_their_export_and_an_answer(tmp_path: Path) -> None:
    text, fusion, bundle = tmp_path / "text", tmp_path / "fusion", tmp_path / "bundle"
    command(
        "emo_models.cli.train", "text", *TABLES, "--encoder", DATA / "beto" / "cased_2M",
        "--random-weights", "--output", text,
    )  # fmt: skip
    config = json.loads((text / "checkpoint" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"]) == (12, 768)
    command(
        "emo_models.cli.train", "fusion", *TABLES, "--encoder", text / "checkpoint",
        "--clips", DATA / "nemo" / "nemo.csv", "--clips", DATA / "ravdess" / "ravdess.csv",
        "--output", fusion,
    )  # fmt: skip
    # After one epoch of 90 rows all answers are nearly alike: a gate would judge noise.
    command(
        "emo_export.cli", "--text", text / "checkpoint", "--fusion", fusion / "checkpoint",
        "--quantize", "--no-gate", "--output", bundle,
    )  # fmt: skip
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["graphs"]["text"]["outputs"] == ["logits", "embedding"]  # variant D: one pass
    assert manifest["audio"]["n_mfcc"] == 128
    assert "text vector" in manifest["provenance"]["decisions"]["fusion"]
    answer = json.loads(
        command(
            "emo_runtime.cli.predict", "--bundle", bundle, "--audio", CLIPS / "queja.flac",
            "--text", "¡Llevo tres semanas esperando una solución!", "--json",
        )
    )  # fmt: skip
    assert answer["task"] == "fusion"
    assert answer["label"] in LABELS
