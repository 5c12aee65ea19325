"""Scores of a bundle on the test sets of its runs: the figures of the card of emo-es-small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emo_models.data.corpora import Needs, Row, read_csv
from emo_models.data.datasets import targets_of
from emo_models.errors import CheckpointError
from emo_models.evaluation.bundle import predict_bundle
from emo_models.evaluation.metrics import Floats, Ints
from emo_models.evaluation.report import compare, report, report_logits
from emo_models.labels import LABELS, label_index
from emo_models.runs.tables import BASELINE, Kind, tables_of
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.tables import TableError, open_table, read_records


@dataclass(frozen=True)
class Figures:
    """Reports by test set (``report_logits``), and comparisons with the baseline (text)."""

    text: dict[str, dict[str, Any]]
    fusion: dict[str, dict[str, Any]]
    baselines: dict[str, dict[str, Any]]


def bundle_figures(
    bundle: Path,
    text_run: Path,
    fusion_run: Path,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Measure ``bundle`` on the tables that both runs wrote (``emo_models.runs.tables``).

    Raises:
        DataError: a table is missing or bad, or the runtime rejects a row.
    """
    text, fusion, baselines = {}, {}, {}
    for name, table in tables_of(text_run, "rows"):
        on_progress(f"text: {name}")
        rows = read_csv(table, needs=Needs(text=True))
        probabilities = _probabilities(bundle, rows, "text")
        text[name] = _report(bundle, rows, probabilities, "text")
        compared = _against_baseline(table, targets_of(rows, LABELS), probabilities.argmax(axis=1))
        if compared is not None:
            baselines[name] = compared
    kinds: tuple[tuple[TaskName, Kind], ...] = (("fusion", "pairs"), ("audio", "clips"))
    for task, kind in kinds:
        for name, table in _different(tables_of(fusion_run, kind)):
            on_progress(f"{task}: {name}")
            rows = read_csv(table, needs=Needs(audio=True))
            title = f"{name}, sound alone" if task == "audio" else name
            fusion[title] = _report(bundle, rows, _probabilities(bundle, rows, task), task)
    return Figures(text, fusion, baselines)


def _different(tables: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the tables without duplicates: test sets of texts share their clips."""
    first: dict[bytes, str] = {}
    return [
        (name, table)
        for name, table in tables
        if first.setdefault(table.read_bytes(), name) == name
    ]


def _probabilities(bundle: Path, rows: list[Row], task: TaskName) -> Floats:
    found = predict_bundle(bundle, rows, task)
    if found.labels != LABELS:
        raise CheckpointError(
            f"{bundle}: its labels are {', '.join(found.labels)}; this card is for "
            f"{', '.join(LABELS)}."
        )
    return found.probabilities


def _report(bundle: Path, rows: list[Row], probabilities: Floats, task: TaskName) -> dict[str, Any]:
    """Return a report with the calibration error before and after temperature scaling."""
    temperature = open_bundle(bundle).manifest.tasks[task].temperature
    logits = np.log(np.maximum(probabilities, 1e-300)) * temperature
    return report_logits(targets_of(rows, LABELS), logits, temperature, labels=LABELS)


def _against_baseline(table: Path, targets: Ints, predicted: Ints) -> dict[str, Any] | None:
    with open_table(table) as stream:
        columns, records = read_records(stream, [BASELINE])
        if BASELINE not in columns:
            return None
        named = [record[BASELINE] for record in records if not isinstance(record, TableError)]
    svm = np.array([label_index(label, LABELS) for label in named], dtype=np.int64)
    return {
        "tfidf_svm": report(targets, svm, labels=LABELS),
        "bundle_minus_tfidf_svm": compare(targets, predicted, svm, labels=LABELS),
    }
