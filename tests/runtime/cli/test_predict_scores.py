"""emo-predict --scores: a table of probabilities with the columns of the input."""

import csv
import json
import shutil

from click.testing import CliRunner

from emo_runtime import EmotionRecognizer
from emo_runtime.cli.predict import main
from helpers.corpora import CLIPS

BUNDLE = "emo-es-small"  # it has all three tasks


def test_columns_of_json_lines_are_kept_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(CLIPS / "miedo.flac", "a.flac")
    rows: list[dict[str, object]] = [
        {"id": 7, "text": "hola", "loss": 1.25e-9, "score_joy": "old"},
        {"text": "no puedo más", "audio": "a.flac", "place": "Ñ"},
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    options = ["--bundle", BUNDLE, "--input", "in.jsonl", "--scores", "out.csv"]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["id"], first["loss"], first["audio"]) == ("7", "1.25e-09", "")
    assert (second["id"], second["place"]) == ("", "Ñ")
    assert second["audio"] == str(tmp_path / "a.flac")
    with EmotionRecognizer.open(BUNDLE) as recognizer:
        answers = [
            recognizer.recognize("hola"),
            recognizer.recognize(str(rows[1]["text"]), "a.flac"),
        ]
    for found, answer in zip([first, second], answers, strict=True):
        scores = {name: value for name, value in found.items() if name.startswith("score_")}
        assert scores == {f"score_{label}": f"{p:.6f}" for label, p in answer.scores.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.flac", "in.jsonl", "out.csv"]
