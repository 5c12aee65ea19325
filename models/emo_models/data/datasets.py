"""The rows of a run: training tables without the held-out rows, and named test sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_models.data.corpora import (
    Needs,
    Row,
    TableFormat,
    check_disjoint,
    merged,
    read_csv,
    read_videos,
    with_groups,
    without,
)
from emo_models.data.soft_labels import soft_target
from emo_models.errors import DataError
from emo_models.evaluation.metrics import Ints
from emo_models.labels import SEPARATORS, label_index, label_key, label_set

Floats = NDArray[np.float32]
FEW_ROWS = 20


@dataclass(frozen=True)
class Tables:
    """Source tables of a run. Of a table with a column ``split``, only that split is read.

    Attributes:
        train: tables to train on.
        extra: more training tables; rows whose group (video) has an excluded row are dropped.
        exclude: rows to leave out of training, by id and by text.
        test: tables reported in full.
        unseen_test: tables reported without the rows whose id, text or group is in the training
            rows.
        videos: a MEACorpus folder, which names the video of its rows and of EmoSPeech's.
        audio_folder: folder of the sound files, for tables that name none.
        layout: column names, delimiter, encoding and label map of all tables.
        labels: label set and order; empty: the labels of the training rows, sorted.
    """

    train: tuple[Path, ...]
    extra: tuple[Path, ...] = ()
    exclude: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    unseen_test: tuple[Path, ...] = ()
    videos: Path | None = None
    audio_folder: Path | None = None
    layout: TableFormat = field(default_factory=TableFormat)
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Training rows and test sets by name.

    ``labels`` is the label set in class order. ``notes`` are sentences about
    rows that were left out and classes that are too small. ``multi_label``: a row has any number of
    labels.
    """

    train: list[Row]
    tests: dict[str, list[Row]]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    multi_label: bool = False


def read_dataset(tables: Tables, *, need_audio: bool = False, allow_leak: bool = False) -> Dataset:
    """Read and merge the tables, and leave held-out rows out of the training rows.

    Args:
        tables: the files.
        need_audio: require a sound file for every row.
        allow_leak: accept a test row whose id is in the training rows.

    Raises:
        DataError: a bad row, an unknown label, or a test row among the training rows.
    """
    videos = read_videos(tables.videos) if tables.videos else {}
    needs = Needs(text=True, audio=need_audio)
    notes: list[str] = []

    def read(paths: Sequence[Path], split: str) -> list[Row]:
        parts = [
            read_csv(
                path,
                split=split,
                audio_folder=tables.audio_folder,
                needs=needs,
                layout=tables.layout,
            )
            for path in paths
        ]
        rows = with_groups(merged(*parts), videos)
        _note_dropped(notes, sum(map(len, parts)), rows, f"{split} rows", "are in two tables")
        return rows

    held_out = read(tables.exclude, "test")
    given = read(tables.train, "train")
    train = without(given, held_out)
    _note_dropped(notes, len(given), train, "training rows", "are excluded by id or text")
    extra = merged(train, read(tables.extra, "train"))[len(train) :]
    kept = without(extra, held_out, groups=True)
    _note_dropped(notes, len(extra), kept, "extra rows", "are excluded by id, text or group")
    train = merged(train, kept)
    if not train:
        raise DataError("no training row is left after the held-out ones are removed.")
    tests: dict[str, list[Row]] = {}
    for path in tables.test:
        rows = read([path], "test")
        if not allow_leak:
            check_disjoint(train, rows)
        tests[_name(path, tests)] = rows
    for path in tables.unseen_test:
        given = read([path], "test")
        rows = without(given, train, groups=True)
        _note_dropped(notes, len(given), rows, f"rows of {path.name}", "are known from training")
        if not rows:
            raise DataError(f"{path}: no row is left that is not known from training.")
        tests[f"{_name(path, {})}_unseen"] = rows
    multi_label = tables.layout.label_separator is not None
    labels = tables.labels or label_set(word for row in train for word in row.words)
    for rows in (train, *tests.values()):
        for row in rows:
            for word in row.words:
                label_index(word, labels, where=row.where)
    notes += [*_joined_labels(labels), *_small_classes(train, labels)]
    return Dataset(train, tests, labels, tuple(notes), multi_label=multi_label)


def limited(data: Dataset, limit: int | None) -> Dataset:
    """Return a small dataset with about the same class shares, for a trial run."""
    if limit is None:
        return data
    rows = sorted(range(len(data.train)), key=lambda i: (i * 2_654_435_761) % (1 << 32))
    chosen = sorted(rows[:limit])
    tests = {name: rows[:limit] for name, rows in data.tests.items()}
    return replace(data, train=[data.train[i] for i in chosen], tests=tests)


def targets_of(rows: Sequence[Row], labels: Sequence[str]) -> Ints:
    """Return class numbers [rows].

    Raises:
        DataError: a label that is not in ``labels``; names the row.
    """
    return np.array([label_index(row.label, labels, where=row.where) for row in rows], np.int64)


def soft_targets(rows: Sequence[Row], labels: Sequence[str], share: float) -> Floats | None:
    """Return target probabilities [rows, classes]; None if no row has scores or ``share`` is 0.

    Args:
        rows: rows with a label, and with or without scores.
        labels: labels in class order.
        share: share of the scores in the targets of rows that have them.

    Raises:
        DataError: an unknown label, or scores that do not add up to 1; names the row.
    """
    if not share or not any(row.scores for row in rows):
        return None
    result = np.eye(len(labels), dtype=np.float32)[targets_of(rows, labels)]
    for number, row in enumerate(rows):
        if row.scores:
            soft = soft_target(row.scores, labels, row.where)
            result[number] = (1 - share) * result[number] + share * soft
    return result


def check_classes(data: Dataset) -> None:
    """Refuse training rows that all have the same label.

    Raises:
        DataError: names the label.
    """
    if len({frozenset(map(label_key, row.words)) for row in data.train}) < 2:
        raise DataError(
            f"all training rows have the label {data.train[0].label!r}: a classifier needs rows of "
            "two or more labels."
        )
    if len(data.labels) < 2:
        raise DataError(
            f"the training rows have one label only, {data.labels[0]!r}: a classifier needs two or "
            "more. Add its opposite as a label, or give --labels."
        )


def missing_classes(rows: Sequence[Row], labels: Sequence[str], part: str) -> list[str]:
    """Return a sentence about the labels that a part has no row of; empty if all occur."""
    found = {label_key(word) for row in rows for word in row.words}
    missing = [label for label in labels if label_key(label) not in found]
    return [f"no {part} row has the label {', '.join(missing)}."] if missing else []


def _joined_labels(labels: Sequence[str]) -> list[str]:
    """Return a sentence about labels that look like several labels in one cell."""
    for mark in SEPARATORS:
        joined = [label for label in labels if mark in label]
        parts = {label_key(part) for label in joined for part in label.split(mark)}
        if joined and (len(parts) < len(joined) or parts & set(map(label_key, labels))):
            return [
                f"labels such as {joined[0]!r:.60} are learnt as one label each. If a cell has "
                f"several labels, give --label-separator {mark!r} to emo-train text."
            ]
    return []


def _small_classes(train: Sequence[Row], labels: Sequence[str]) -> list[str]:
    counts = Counter(label_key(word) for row in train for word in row.words)
    small = [
        f"{label} ({counts[label_key(label)]})"
        for label in labels
        if counts[label_key(label)] < FEW_ROWS
    ]
    if not small:
        return []
    return [f"fewer than {FEW_ROWS} training rows have the label {', '.join(small)}."]


def _note_dropped(notes: list[str], given: int, kept: Sequence[Row], what: str, why: str) -> None:
    if given > len(kept):
        notes.append(f"{given - len(kept)} of {given} {what} {why} and left out.")


def _name(path: Path, taken: dict[str, list[Row]]) -> str:
    """Return a test set's name: ``emospeech/test.csv`` -> ``emospeech_test``.

    A number is appended if the name is taken.
    """
    folder = path.absolute().parent.name
    name = path.stem if path.stem.startswith(folder) else f"{folder}_{path.stem}"
    name = name.replace("-", "_")
    return name if name not in taken else f"{name}_{len(taken) + 1}"
