"""emo-export as a command: usage, exit codes, one JSON document, the missing extra."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from emo_export.cli import main
from helpers.corpora import ROOT


@pytest.fixture
def run(few_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object, evaluate: Path = few_csv) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(main, [*words, "--evaluate", str(evaluate)])

    return invoke


def test_tables_for_people(run: Any, maker: Any) -> None:
    result = run("--quantize", "--text", maker.text(), "--no-gate", "--output", "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    for part in (
        "optimize",
        "text.int8.onnx",
        "label agreement",
        "ms of the reference",
        "Wrote out",
    ):
        assert part in result.stderr
    assert Path("out/manifest.json").is_file()


def test_one_json_document(run: Any, maker: Any) -> None:
    encoder = maker.encoder()
    result = run(
        "--text", maker.text(), "--encoder", encoder, "--fusion", maker.fusion(encoder),
        "--precision", "fp32", "--precision", "int8", "--no-gate", "--json", "--name", "mine",
        "--licence", "Apache-2.0", "--bundle-version", "2.5",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["output"] == "bundle"
    assert report["tasks"] == ["text", "fusion"]
    assert {item["precision"] for item in report["speed"]} == {"fp32", "int8"}
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    assert (manifest["name"], manifest["version"]) == ("mine", "2.5")
    assert manifest["licence"]["weights"] == "Apache-2.0"


def test_a_table_of_sound_is_accepted_for_an_audio_model_of_speech_emotion(
    run: Any, tmp_path: Path
) -> None:
    """The next fault is reported: whether the model reads text is not known before its weights."""
    model = tmp_path / "w2v-bert-emotion-es"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "wav2vec2-bert"}')
    table = tmp_path / "clips.csv"
    table.write_text("audio,label\nclip.wav,joy\n")
    result = run("--speech-emotion", model, evaluate=table)
    assert result.exit_code == 1
    assert "holds neither model.bin nor model.safetensors" in result.stderr


def test_exit_codes(run: Any, maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = maker.outliers()
    assert run("--fusion", maker.fusion(maker.encoder())).exit_code == 2
    assert run("--text", text, "--encoder", text).exit_code == 2
    assert run("--text", text, "--quantize", "--precision", "int8").exit_code == 2
    missing = run("--text", "nowhere/to/be/found")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("Error: nowhere/to/be/found: neither a directory")
    assert missing.stderr.count("\n") == 1
    monkeypatch.setattr("emo_export.quantization.mixed_precision._LARGEST_KEPT_SHARE", 0.0)
    gate = run("--text", text, "--quantize", "--min-agreement", "1", "--max-f1-loss", "0")
    assert gate.exit_code == 3
    assert gate.stderr.splitlines()[-1].startswith("Error: task text, int8: label agreement")
    assert not Path("bundle").exists()
    assert run("--text", text).exit_code == 0
    again = run("--text", text)
    assert again.exit_code == 1
    assert "--force replaces it" in again.stderr
    assert run("--text", text, "--force").exit_code == 0


def test_default_checkpoint_that_is_not_there(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Elsewhere:
        submodule_search_locations = (str(tmp_path / "site-packages" / "emo_models"),)

    monkeypatch.setattr("emo_export.cli.importlib.util.find_spec", lambda _: Elsewhere)
    monkeypatch.setattr("emo_export.cli.require_extra", lambda *_: None)
    result = run("--quantize")
    assert result.exit_code == 1
    assert "Clone the repository, or give --text" in result.stderr


CHECKPOINT = ROOT / "models" / "checkpoints" / "emo-es-small"


@pytest.mark.skipif(not CHECKPOINT.is_dir(), reason=f"no trained checkpoint at {CHECKPOINT}")
def test_without_arguments_the_trained_checkpoint_of_the_repository(run: Any) -> None:
    result = run("--quantize", "--no-gate", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["tasks"][:2] == ["text", "fusion"]
    for comparison in report["comparisons"]:
        assert comparison["precision"] == "int8"
        assert comparison["agreement"] >= 0.95
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    card = (CHECKPOINT / "CARD.md").read_text(encoding="utf-8")
    assert card.startswith(f"# {manifest['name']}\n")
    assert manifest["licence"]["weights"] == "CC-BY-NC-SA-4.0"
    assert Path("bundle/CARD.md").read_text(encoding="utf-8").startswith(card.rstrip())


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "onnx", "transformers", "optimum", "rich"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return found(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
from emo_export.cli import main
main(["--quantize"])
"""


def test_without_the_extra_one_line_names_it() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
    )
    assert result.returncode == 1
    assert 'pip install "emo-runtime[export]"' in result.stderr
    assert result.stderr.count("\n") == 1
