"""``emo-train distill``: students of a bundle, and soft labels in every recipe."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional

from emo_export.cli import main as export
from emo_models.data.corpora import Needs, Row, read_csv
from emo_models.data.datasets import soft_targets
from emo_models.data.soft_labels import Scores
from emo_models.errors import DataError
from emo_models.evaluation.bundle import predict_bundle
from emo_models.evaluation.predict import predict_text_checkpoint
from emo_models.labels import LABELS
from emo_models.training.speech_head import minimize
from emo_runtime import EmotionRecognizer
from emo_runtime.cli.predict import main as predict
from helpers.emo_train import good, run

WORDS = (
    "vergüenza furia rabia", "asco mentira corrupción", "miedo pánico terror",
    "alegría fiesta feliz", "informe reunión lunes", "pena llanto triste",
)  # fmt: skip
EVERY = [word for words in WORDS for word in words.split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.csv and few.csv with labels, unlabelled.csv and held.csv of mixed words."""
    directory = tmp_path_factory.mktemp("distill")
    rng = np.random.default_rng(0)
    labelled = [
        (LABELS[k], " ".join(rng.permutation(WORDS[k].split())) + f" {i}")
        for i in range(20) for k in range(6)
    ]  # fmt: skip
    mixed = [("", " ".join(rng.choice(EVERY, size=3, replace=False))) for _ in range(360)]
    tables = {"train": labelled, "few": labelled[:24], "unlabelled": mixed[:300],
              "held": mixed[300:]}  # fmt: skip
    for name, rows in tables.items():
        columns = ("label", "text") if name in {"train", "few"} else ("text",)
        with (directory / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(row[-len(columns) :] for row in rows)
    return directory


def student(path: Path, encoder: Path, **more: object) -> Path:
    options = {"recipe": "text", "encoder": str(encoder), "pooling": "mean", "epochs": 6,
               "learning_rate": 5e-3, "best_by": "last", "seed": 1, **more}  # fmt: skip
    path.write_text("\n".join(f"{k} = {json.dumps(v)}" for k, v in options.items()))
    return path


@pytest.fixture(scope="module")
def teacher(folder: Path, encoder: Path) -> Path:
    good("text", "--train", folder / "train.csv", "--encoder", encoder, "--pooling", "mean",
         "--epochs", 6, "--learning-rate", 5e-3, "--output", folder / "teacher")  # fmt: skip
    arguments = ["--text", str(folder / "teacher" / "checkpoint"), "--output",
                 str(folder / "bundle")]  # fmt: skip
    result = CliRunner().invoke(export, arguments)
    assert result.exit_code == 0, result.output
    return folder / "bundle"


@pytest.fixture(scope="module")
def distilled(folder: Path, teacher: Path, encoder: Path) -> Path:
    config = student(folder / "student.toml", encoder)
    good("distill", "--teacher", teacher, "--data", folder / "unlabelled.csv", "--student", config,
         "--output", folder / "student")  # fmt: skip
    return folder / "student"


def test_a_student_agrees_with_its_teacher_more_than_one_of_few_labels(
    folder: Path, teacher: Path, distilled: Path, encoder: Path
) -> None:
    good("text", "--train", folder / "few.csv", "--encoder", encoder, "--pooling", "mean",
         "--epochs", 6, "--learning-rate", 5e-3, "--best-by", "last", "--validation-share", 0.25,
         "--seed", 1, "--output", folder / "few")  # fmt: skip
    rows = read_csv(folder / "held.csv", needs=Needs(text=True, label=False))
    wanted = predict_bundle(teacher, rows, "text").probabilities
    divergence = {}
    for name in ("student", "few"):
        found = predict_text_checkpoint(folder / name / "checkpoint", rows)
        assert found.labels == LABELS
        ratio = np.log(wanted) - np.log(np.maximum(found.probabilities, 1e-12))
        divergence[name] = float((wanted * ratio).sum(axis=1).mean())
        agreement = float((found.probabilities.argmax(1) == wanted.argmax(1)).mean())
        divergence[f"{name} agreement"] = agreement
    assert divergence["student agreement"] > divergence["few agreement"] + 0.1, divergence
    assert divergence["student"] < divergence["few"], divergence


def test_soft_labels_are_the_answers_of_the_teacher(teacher: Path, distilled: Path) -> None:
    rows = read_csv(distilled / "soft_labels.csv")
    assert len(rows) == 300
    with EmotionRecognizer.open(teacher) as recognizer:
        for row in rows[:20]:
            answer = recognizer.recognize(row.text)
            assert answer.label == row.label
            for label, score in row.scores:
                assert score == pytest.approx(answer.scores[label], abs=1e-5)


def test_the_same_teacher_is_asked_once(
    folder: Path, teacher: Path, distilled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = (distilled / "soft_labels.csv").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr("emo_models.runs.distill.predict_bundle", None)
        good("distill", "--teacher", teacher, "--data", folder / "unlabelled.csv", "--student",
             folder / "student.toml", "--output", distilled)  # fmt: skip
    assert (distilled / "soft_labels.csv").stat().st_mtime_ns == written


def test_labelled_tables_of_the_student_are_trained_on_too(
    folder: Path, teacher: Path, encoder: Path
) -> None:
    config = student(folder / "more.toml", encoder, epochs=1, train=[str(folder / "few.csv")])
    good("distill", "--teacher", teacher, "--data", folder / "held.csv", "--student", config,
         "--output", folder / "more")  # fmt: skip
    metrics = json.loads((folder / "more" / "checkpoint" / "metrics.json").read_text())
    assert sum(metrics["rows"].values()) == 60 + 24


def test_predict_writes_scores_with_the_columns_of_the_input(
    folder: Path, teacher: Path, tmp_path: Path
) -> None:
    output = tmp_path / "scores.csv"
    arguments = ("--bundle", teacher, "--input", folder / "few.csv", "--scores", output)
    result = CliRunner().invoke(predict, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    rows, given = read_csv(output), read_csv(folder / "few.csv")
    assert [(row.label, row.text) for row in rows] == [(row.label, row.text) for row in given]
    assert [label for label, _ in rows[0].scores] == list(LABELS)
    soft = soft_targets(rows, LABELS, 1.0)
    assert soft is not None
    np.testing.assert_allclose(soft, predict_bundle(teacher, rows, "text").probabilities, atol=1e-5)


def test_rows_that_fail_are_not_in_the_table(teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,audio\nuna fiesta,\n,none.wav\n", encoding="utf-8")
    output = tmp_path / "scores.csv"
    arguments = ("--bundle", teacher, "--input", tmp_path / "in.csv", "--scores", output)
    result = CliRunner().invoke(predict, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert "1 of 2 rows failed" in result.stderr
    assert len(read_csv(output)) == 1


def test_shares_of_soft_labels() -> None:
    def row(label: str, scores: Scores = ()) -> Row:
        return Row("1", label, "hola", None, "", "table.csv, row 2", scores)

    rows = [row("a", (("a", 0.25), ("b", 0.75))), row("b")]
    found = soft_targets(rows, ("a", "b"), 0.5)
    assert found is not None
    np.testing.assert_allclose(found, [[0.625, 0.375], [0, 1]])
    assert soft_targets(rows, ("a", "b"), 0.0) is None
    assert soft_targets([row("a"), row("b")], ("a", "b"), 1.0) is None
    with pytest.raises(DataError, match=r"^table\.csv, row 2: the columns score_LABEL add up to"):
        soft_targets([row("a", (("a", 0.1), ("b", 0.1)))], ("a", "b"), 1.0)


def test_probabilities_as_targets_of_the_speech_head() -> None:
    """At the optimum without penalty, a head with one feature per row gives the targets."""
    targets = np.random.default_rng(0).dirichlet(np.ones(3), size=5).astype(np.float32)
    matrix, bias = minimize(np.eye(5, dtype=np.float32), targets, np.full(5, 0.2), classes=3, l2=0)
    logits = torch.from_numpy(matrix + bias)
    np.testing.assert_allclose(functional.softmax(logits, 1).numpy(), targets, atol=0.02)


def scored(table: Path, output: Path, write_table: Callable[..., Path], *, flip: bool) -> Path:
    """Write a table of clips with one-hot scores instead of labels, or those of another label."""
    rows = read_csv(table)
    labels = sorted({row.label for row in rows})
    values = [
        (str(row.audio), row.group, f"palabra {row.label}",
         *(str(float(label == (labels[0] if flip else row.label))) for label in labels))
        for row in rows
    ]  # fmt: skip
    columns = ("audio", "speaker", "text", *(f"score_{label}" for label in labels))
    return write_table(output, columns, values)


def test_speech_reads_soft_labels(
    speech_tables: tuple[Path, Path], whisper: Path, tmp_path: Path,
    write_table: Callable[..., Path],
) -> None:  # fmt: skip
    table = scored(speech_tables[0], tmp_path / "clips.csv", write_table, flip=False)
    small = ("--encoder", whisper, "--epochs", 1, "--copies", 0, "--batch-size", 8,
             "--cache", tmp_path / "cache")  # fmt: skip
    good("speech", "--train", table, *small, "--output", tmp_path / "soft")
    good("speech", "--train", speech_tables[0], *small, "--output", tmp_path / "hard")
    one, other = (json.loads((tmp_path / name / "checkpoint" / "metrics.json").read_text())
                  for name in ("soft", "hard"))  # fmt: skip
    assert one["epochs"]["loss"] == pytest.approx(other["epochs"]["loss"], rel=1e-3)


def test_fusion_reads_soft_labels(
    speech_tables: tuple[Path, Path], encoder: Path, tmp_path: Path,
    write_table: Callable[..., Path],
) -> None:  # fmt: skip
    table = scored(speech_tables[0], tmp_path / "own.csv", write_table, flip=False)
    flat = [row.replace("1.0", "0.4").replace("0.0", "0.3") for row in
            table.read_text().splitlines()]  # fmt: skip
    (tmp_path / "flat.csv").write_text("\n".join(flat) + "\n")
    losses = []
    for name in ("own", "flat"):
        good("fusion", "--train", tmp_path / f"{name}.csv", "--encoder", encoder, "--epochs", 40,
             "--fused", 32, "--dropout", 0, "--standardise", "global", "--validation-share", 0.2,
             "--output", tmp_path / name)  # fmt: skip
        metrics = json.loads((tmp_path / name / "checkpoint" / "metrics.json").read_text())
        losses.append(metrics["epochs"]["loss"][-1])
    entropy = -(0.4 * np.log(0.4) + 0.6 * np.log(0.3))  # no network is below that of its targets
    assert losses[0] < 0.5 < entropy < losses[1] + 0.01


def test_multi_label_teachers_are_refused_before_they_are_asked(
    folder: Path,
    tiny_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emo_models.runs.distill.predict_bundle", None)
    (tmp_path / "s.toml").write_text("recipe = 'text'")
    teacher = tiny_bundle(activation="sigmoid")
    result = run("distill", "--teacher", teacher, "--data", folder / "held.csv", "--student",
                 tmp_path / "s.toml", "--output", tmp_path / "run")  # fmt: skip
    assert result.exit_code == 1
    assert "its task text is multi-label" in result.output
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe = ", "not a TOML file"),
        ("epochs = 3", "recipe is None; expected one of: text, speech, fusion"),
        ("recipe = 'text'\noutput = 'x'", "output is set by emo-train distill"),
        ("recipe = 'text'\nepoch = 3\nencoder = 'x'", "No such option"),
    ],
)
def test_mistakes_of_a_student(
    folder: Path, teacher: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "s.toml").write_text(text)
    result = run("distill", "--teacher", teacher, "--data", folder / "held.csv", "--student",
                 tmp_path / "s.toml", "--output", tmp_path / "run")  # fmt: skip
    assert result.exit_code != 0
    assert message in result.output
