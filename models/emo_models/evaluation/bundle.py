"""Predictions of a bundle on labelled rows, by the runtime: no PyTorch is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emo_models.data.corpora import Row
from emo_models.errors import DataError
from emo_models.evaluation.metrics import Floats
from emo_runtime import EmotionRecognizer, Utterance
from emo_runtime.bundle.manifest import MANIFEST_NAME, TaskName
from emo_runtime.bundle.reader import installed_bundle
from emo_runtime.errors import EmoError


@dataclass(frozen=True)
class Predictions:
    """Probabilities [rows, labels] in the order of ``labels``, which are independent or not."""

    probabilities: Floats
    labels: tuple[str, ...]
    multi_label: bool = False


def predict_bundle(
    bundle: Path,
    rows: Sequence[Row],
    task: TaskName,
    *,
    variant: Any = None,
    on_row: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Return the predictions of a bundle, computed by the runtime.

    Raises:
        DataError: the runtime rejects a row; names the row.
    """
    with EmotionRecognizer.open(bundle, tasks=[task], variant=variant) as recognizer:
        labels = recognizer.labels
        scores = np.empty((len(rows), len(labels)))
        utterances = (
            Utterance(
                text=None if task == "audio" else row.text,
                audio=None if task == "text" else row.audio,
                task=task,
            )
            for row in rows
        )
        for index, answer in enumerate(recognizer.recognize_each(utterances)):
            if isinstance(answer, EmoError):
                raise DataError(f"{rows[index].where}: {answer}")
            scores[index] = [answer.scores[label] for label in labels]
            on_row(index + 1)
        multi_label = recognizer.manifest.tasks[task].activation == "sigmoid"
    return Predictions(scores, labels, multi_label)


def find_bundle(model: str | Path) -> Path | None:
    """Return the directory of a bundle, given it or an installed name; None: not a bundle."""
    directory = Path(model) if Path(model).is_dir() else installed_bundle(str(model))
    return directory if directory and (directory / MANIFEST_NAME).is_file() else None
