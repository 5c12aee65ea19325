"""``emo-train text --label-separator``: a multi-label classifier, from a table to an answer."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from sklearn.metrics import f1_score
from transformers import AutoConfig, AutoTokenizer

from emo_export.cli import main as emo_export
from emo_models.cli.evaluate import main as emo_evaluate
from emo_models.cli.train import main as emo_train
from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.datasets import Tables, read_dataset
from emo_models.data.multi_label import label_matrix, rarest_labels
from emo_models.errors import DataError
from emo_models.evaluation.multi_label import calibration_error
from emo_models.modeling.load import load_text
from emo_runtime import EmotionRecognizer
from emo_runtime.cli.bundle import main as emo_bundle

WORDS = {
    "anger": "vergüenza furia rabia",
    "joy": "alegría fiesta feliz",
    "sadness": "pena llanto triste",
}
LABELS = tuple(WORDS)
LAYOUT = TableFormat(label_separator="|")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """train.csv and test.csv: sentences with a word of none, one or two labels."""
    random = np.random.default_rng(0)
    sets = [(), *combinations(LABELS, 1), *combinations(LABELS, 2)]
    for name, items in (("train", range(24)), ("test", range(24, 30))):
        lines = ["id,label,text"]
        for number, labels in enumerate(sets):
            for item in items:
                words = [str(random.choice(WORDS[label].split())) for label in labels]
                words += [] if labels else ["lunes"]
                text = " ".join(random.permutation(words))
                cell = "|".join(random.permutation(labels)) if labels else "|"
                lines.append(f"{name}-{number}-{item},{cell},{text} {item}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def train(tables: Path, encoder: Path, *more: object) -> Result:
    return CliRunner().invoke(
        emo_train,
        [
            "text", "--train", str(tables / "train.csv"), "--test", str(tables / "test.csv"),
            "--encoder", str(encoder), "--label-separator", "|", "--output", str(tables / "run"),
            "--epochs", "12", "--learning-rate", "0.005", "--batch-size", "8", *map(str, more),
        ],
    )  # fmt: skip


def test_from_a_table_to_an_answer(tables: Path, encoder: Path) -> None:
    result = train(
        tables, encoder, "--pooling", "mean", "--class-weights", "sqrt", "--label-smoothing", 0.05
    )
    assert result.exit_code == 0, result.output
    checkpoint = tables / "run" / "checkpoint"
    metrics = json.loads((checkpoint / "metrics.json").read_text())
    assert metrics["multi_label"]
    assert metrics["labels"] == list(LABELS)
    [figures] = metrics["test"].values()
    assert figures["macro_f1"] > 0.9  # the words determine the labels
    assert not list((tables / "run").glob("confusion_*"))

    # The figures are those of scikit-learn, of logits with transformers' tokenizer.
    model = load_text(checkpoint).module
    config = AutoConfig.from_pretrained(checkpoint)
    assert config.problem_type == "multi_label_classification"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows = read_csv(tables / "test.csv", needs=Needs(text=True), layout=LAYOUT)
    batch = tokenizer([row.text for row in rows], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(batch["input_ids"], batch["attention_mask"]).logits
    targets = label_matrix(rows, LABELS)
    expected = f1_score(targets, logits.numpy() >= 0, average="macro")
    assert figures["macro_f1"] == pytest.approx(expected, abs=1e-4)
    calibrated = torch.sigmoid(logits.double() / metrics["temperature"]).numpy()
    assert figures["calibration_error"] == pytest.approx(
        calibration_error(calibrated, targets), abs=1e-4
    )

    evaluated = CliRunner().invoke(
        emo_evaluate,
        [str(checkpoint), "--data", str(tables / "test.csv"), "--label-separator", "|", "--json"],
    )
    assert evaluated.exit_code == 0, evaluated.output
    document = json.loads(evaluated.stdout)
    same = ("macro_f1", "micro_f1", "accuracy", "calibration_error", "classes")
    assert {name: document[name] for name in same} == {name: figures[name] for name in same}

    # The gate judges sets of labels, probabilities and macro-F1; the temperature is fitted again.
    exported = CliRunner().invoke(
        emo_export,
        [
            "--text", str(checkpoint), "--precision", "fp32", "--precision", "int8",
            "--evaluate", str(tables / "test.csv"), "--calibrate", str(tables / "train.csv"),
            "--label-separator", "|", "--output", str(tables / "bundle"), "--json",
        ],
    )  # fmt: skip
    assert exported.exit_code == 0, exported.output
    report = json.loads(exported.stdout)
    [fp32, int8] = report["comparisons"]
    assert fp32["reference_macro_f1"] == fp32["macro_f1"] == pytest.approx(expected, abs=1e-5)
    assert int8["agreement"] >= 0.99
    [fitted] = report["calibration"]
    assert fitted["error"] <= fitted["error_before"]
    verified = CliRunner().invoke(
        emo_bundle,
        ["verify", str(tables / "bundle"), "--reference", str(checkpoint), "--json",
         "--evaluate", str(tables / "test.csv"), "--label-separator", "|", "--provider", "cpu"],
    )  # fmt: skip
    assert verified.exit_code == 0, verified.output
    again = json.loads(verified.stdout)["reference"]["comparisons"]
    assert [item["macro_f1"] for item in again] == [fp32["macro_f1"], int8["macro_f1"]]
    with EmotionRecognizer.open(
        tables / "bundle", providers="cpu", threads=1, variant="fp32"
    ) as recognizer:
        assert recognizer.manifest.tasks["text"].activation == "sigmoid"
        temperature = recognizer.manifest.tasks["text"].temperature
        answers = [recognizer.recognize(text=row.text) for row in rows]
    scores = [list(answer.scores.values()) for answer in answers]
    expected_scores = torch.sigmoid(logits.double() / temperature)
    np.testing.assert_allclose(scores, expected_scores.numpy(), atol=1e-5)
    both = next(i for i, row in enumerate(rows) if row.words == ("anger", "joy"))
    assert sum(score >= 0.5 for score in scores[both]) == 2
    table = CliRunner().invoke(
        emo_evaluate,
        [str(tables / "bundle"), "--data", str(tables / "test.csv"), "--label-separator", "|"],
    )
    assert table.exit_code == 0, table.output
    assert "micro_f1" in table.stdout
    assert "of whole label sets" in table.stdout


def test_cells_of_several_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\nuno,Alegría | enojo|enojo\ndos,|\ntres,enojo\n")
    layout = TableFormat(label_separator="|", label_map={"alegria": "joy", "enojo": "anger"})
    rows = read_csv(path, layout=layout)
    assert [row.words for row in rows] == [("anger", "joy"), (), ("anger",)]
    assert [row.label for row in rows] == ["anger|joy", "|", "anger"]
    path.write_text("text,label\nuno,\n")
    with pytest.raises(DataError, match=r"the label is empty\. The separator alone"):
        read_csv(path, layout=layout)


def test_the_split_keeps_a_share_of_every_label() -> None:
    sets = [("a",)] * 40 + [("a", "b")] * 20 + [("a", "c")] * 20 + [()] * 20
    rows = [Row(str(n), "", "t", None, "", "w", labels=labels) for n, labels in enumerate(sets)]
    strata = rarest_labels(label_matrix(rows, ("a", "b", "c")))
    assert strata == [0] * 40 + [1] * 20 + [2] * 20 + [-1] * 20


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--baseline",), "no --baseline"),
        (("--pooling", "mean", "--ngram-buckets", 64), "no --ngram-buckets"),
        (("--labels", "anger,joy"), "unknown label 'sadness'"),
    ],
)
def test_options_that_do_not_fit(
    tables: Path, encoder: Path, more: tuple[object, ...], message: str
) -> None:
    result = train(tables, encoder, *more)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tables / "run").exists()


def test_joined_labels_without_the_separator_are_noted(tables: Path) -> None:
    data = read_dataset(Tables((tables / "train.csv",)))
    assert any("give --label-separator '|'" in note for note in data.notes)
    plain = tables / "plain.csv"
    plain.write_text("text,label\nuno,joy/pride\ndos,anger\n")
    assert not any("separator" in note for note in read_dataset(Tables((plain,))).notes)


def test_a_separator_of_letters_is_wrong_usage(tables: Path, encoder: Path) -> None:
    result = train(tables, encoder, "--label-separator", "y")
    assert result.exit_code == 2
    assert "--label-separator '|'" in result.stderr


def test_a_single_label_model_refuses_the_separator(
    tables: Path, encoder: Path, texts: Path
) -> None:
    single = CliRunner().invoke(
        emo_train,
        ["text", "--train", str(texts / "train.csv"), "--encoder", str(encoder), "--epochs", "1",
         "--output", str(texts / "single")],
    )  # fmt: skip
    assert single.exit_code == 0, single.output
    checkpoint = str(texts / "single" / "checkpoint")
    table = str(tables / "test.csv")
    for command, arguments in (
        (emo_evaluate, [checkpoint, "--data", table]),
        (emo_export, ["--text", checkpoint, "--evaluate", table, "--output", str(tables / "b")]),
    ):
        result = CliRunner().invoke(command, [*arguments, "--label-separator", "|"])
        assert result.exit_code == 1
        assert "--label-separator" in result.stderr
