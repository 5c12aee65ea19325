"""``--max-tokens`` cuts texts in the bundle where it does in training."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from emo_export.cli import main as export
from emo_models.cli.train import main
from emo_models.data.corpora import read_csv
from emo_models.evaluation.predict import predict_text_checkpoint
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.load import load_text
from emo_models.modeling.positions import max_tokens
from emo_runtime import EmotionRecognizer


def test_texts_are_cut_at_the_same_token(texts: Path, encoder: Path, tmp_path: Path) -> None:
    arguments = ("text", "--train", texts / "train.csv", "--encoder", encoder, "--epochs", 1,
                 "--max-tokens", 8, "--output", tmp_path / "run")  # fmt: skip
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    checkpoint = tmp_path / "run" / "checkpoint"
    assert load_text(checkpoint).max_tokens == 8
    arguments = ("--text", checkpoint, "--output", tmp_path / "bundle")
    result = CliRunner().invoke(export, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    table = tmp_path / "long.csv"
    start, ends = "furia fiesta pena lunes miedo asco", ("", " rabia rabia", " feliz triste")
    table.write_text("text,label\n" + "".join(f"{start}{end},joy\n" for end in ends))
    rows = read_csv(table)
    wanted = predict_text_checkpoint(checkpoint, rows).probabilities
    with EmotionRecognizer.open(tmp_path / "bundle") as recognizer:
        answers = [recognizer.recognize(row.text) for row in rows]
    for answer, probabilities in zip(answers, wanted, strict=True):
        assert list(answer.scores.values()) == pytest.approx(probabilities.tolist(), abs=1e-4)
        assert answer.tokens == 8
        assert [note.code for note in answer.notes] == ["text_truncated"]
    # A new classifier is not limited by that of the checkpoint that its encoder comes from.
    fresh, _ = new_classifier(str(checkpoint), Head())
    assert max_tokens(fresh.config) == 24
