"""The rows of a run: training tables without what is held out, and named test sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emo_models.data.corpora import (
    Row,
    check_disjoint,
    merged,
    read_csv,
    read_videos,
    with_groups,
    without,
)
from emo_models.errors import DataError
from emo_models.evaluation.metrics import Ints


@dataclass(frozen=True)
class Tables:
    """Where the rows come from. A table with a column ``split`` gives its rows of that split.

    Attributes:
        train: tables to train on.
        extra: more of them, that give only rows of a group (video) that no excluded row has.
        exclude: rows that are not trained on: left out by id and by text.
        test: tables that are reported whole.
        unseen_test: tables that are reported without the rows whose id, text or group is known
            from training.
        videos: a MEACorpus folder, which tells the video of its rows and of EmoSPeech's.
        audio_folder: folder of the sound files of tables that name none.
    """

    train: tuple[Path, ...]
    extra: tuple[Path, ...] = ()
    exclude: tuple[Path, ...] = ()
    test: tuple[Path, ...] = ()
    unseen_test: tuple[Path, ...] = ()
    videos: Path | None = None
    audio_folder: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """Training rows and test sets by name."""

    train: list[Row]
    tests: dict[str, list[Row]]


def read_dataset(tables: Tables, *, need_audio: bool = False, allow_leak: bool = False) -> Dataset:
    """Read, merge and hold out.

    Args:
        tables: the files.
        need_audio: every row must have its sound.
        allow_leak: accept a test row whose id stands in the training rows.

    Raises:
        DataError: a bad row, or a leak.
    """
    videos = read_videos(tables.videos) if tables.videos else {}

    def read(paths: Sequence[Path], split: str) -> list[Row]:
        parts = [
            read_csv(
                path,
                split=split,
                audio_folder=tables.audio_folder,
                need_text=True,
                need_audio=need_audio,
            )
            for path in paths
        ]
        return with_groups(merged(*parts), videos)

    held_out = read(tables.exclude, "test")
    train = without(read(tables.train, "train"), held_out)
    known = {row.id for row in train}
    extra = [row for row in read(tables.extra, "train") if row.id not in known]
    train = merged(train, without(extra, held_out, groups=True))
    tests: dict[str, list[Row]] = {}
    for path in tables.test:
        rows = read([path], "test")
        if not allow_leak:
            check_disjoint(train, rows)
        tests[_name(path)] = rows
    for path in tables.unseen_test:
        rows = without(read([path], "test"), train, groups=True)
        if not rows:
            raise DataError(f"{path}: no row is left that training has not seen.")
        tests[f"{_name(path)}_unseen"] = rows
    if not train:
        raise DataError("no training row is left after the held-out ones are removed.")
    return Dataset(train, tests)


def limited(data: Dataset, limit: int | None) -> Dataset:
    """A small slice, the same share of each class, for trying a run out."""
    if limit is None:
        return data
    rows = sorted(range(len(data.train)), key=lambda i: (i * 2_654_435_761) % (1 << 32))
    chosen = sorted(rows[:limit])
    tests = {name: rows[:limit] for name, rows in data.tests.items()}
    return Dataset([data.train[i] for i in chosen], tests)


def targets_of(rows: Sequence[Row]) -> Ints:
    """Class numbers [rows]."""
    return np.array([row.label for row in rows], dtype=np.int64)


def _name(path: Path) -> str:
    """``emospeech/test.csv`` -> ``emospeech_test``."""
    folder = path.absolute().parent.name
    name = path.stem if path.stem.startswith(folder) else f"{folder}_{path.stem}"
    return name.replace("-", "_")
