"""``emo-train distill``: label rows with a bundle, and write them as a table of soft labels."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from emo_models.atomic import atomic_text
from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.soft_labels import PREFIX
from emo_models.errors import DataError
from emo_models.evaluation.bundle import Predictions, predict_bundle
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.manifest import MANIFEST_NAME, TaskName

SOFT_LABELS = "soft_labels.csv"
_IDENTITY = "soft_labels.sha256"
_DIGITS = 6


def read_unlabelled(paths: Sequence[Path], task: TaskName, layout: TableFormat) -> list[Row]:
    """Read the rows to label; their labels, if any, are ignored.

    Raises:
        DataError: a row without the text or the sound that the task needs.
    """
    needs = Needs(text=task != "audio", audio=task != "text", label=False)
    return [row for path in paths for row in read_csv(path, needs=needs, layout=layout)]


def write_soft_labels(
    teacher: Path,
    rows: Sequence[Row],
    task: TaskName,
    output: Path,
    on_row: Callable[[int], None] = lambda _: None,
) -> tuple[str, ...]:
    """Write ``output/soft_labels.csv`` and return the teacher's labels.

    A table that is there from the same teacher, task and rows is kept.

    Raises:
        BundleError: the teacher is not a valid bundle.
        DataError: the teacher rejects a row, or has no softmax task of that name.
    """
    path, mark = output / SOFT_LABELS, output / _IDENTITY
    with EmotionRecognizer.open(teacher, tasks=[task]) as recognizer:
        labels = recognizer.labels
        multi_label = recognizer.manifest.tasks[task].activation == "sigmoid"
    if multi_label:
        raise DataError(
            f"{teacher}: its task {task} is multi-label: its scores do not add up to 1. Give a "
            "teacher with one label for each utterance."
        )
    identity = _identity(teacher, rows, task)
    if path.exists() and mark.exists() and mark.read_text(encoding="utf-8").strip() == identity:
        return labels
    atomic_text(path, _table(rows, predict_bundle(teacher, rows, task, on_row=on_row)))
    atomic_text(mark, identity + "\n")
    return labels


def _table(rows: Sequence[Row], found: Predictions) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    scores = [f"{PREFIX}{label}" for label in found.labels]
    columns = ["id", "text", "audio", "group", *scores]
    writer.writerow(columns)
    for number, (row, values) in enumerate(zip(rows, found.probabilities, strict=True), 1):
        audio = "" if row.audio is None else str(row.audio.absolute())
        known = (str(number), row.text or "", audio, row.group)
        writer.writerow((*known, *(f"{value:.{_DIGITS}f}" for value in values)))
    return stream.getvalue()


def _identity(teacher: Path, rows: Sequence[Row], task: str) -> str:
    digest = hashlib.sha256((teacher / MANIFEST_NAME).read_bytes())
    digest.update(task.encode())
    for row in rows:
        digest.update(repr((row.text, str(row.audio), row.group)).encode())
    return digest.hexdigest()
