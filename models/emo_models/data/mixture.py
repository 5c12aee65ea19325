"""Rows of a mixture of corpora: training rows without held-out texts, validation and test rows."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emo_models.data.corpora import (
    Needs,
    Row,
    TableFormat,
    read_csv,
    read_videos,
    with_groups,
    without,
)
from emo_models.data.soft_labels import soft_target
from emo_models.data.synthetic import synthetic_sentences
from emo_models.data.text_augmentation import text_key
from emo_models.data.written import written_sentences
from emo_models.errors import DataError
from emo_models.labels import label_index, label_key, label_set
from emo_models.mixture_recipe import MixtureRecipe, Source


@dataclass(frozen=True)
class Example:
    """A training text: its class number, its source, a teacher's probabilities (or none)."""

    text: str
    label: int
    source: str
    soft: tuple[float, ...] = ()


@dataclass(frozen=True)
class Mixture:
    """Rows of a mixture.

    Attributes:
        train: training rows by source.
        validation: validation rows by source.
        tests: test rows, by the name of the table or of the source (``NAME_test``).
        labels: label set in class order.
        notes: sentences about rows that were left out.
    """

    train: Mapping[str, list[Row]]
    validation: Mapping[str, list[Row]]
    tests: Mapping[str, list[Row]]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Split:
    train: list[Row]
    validation: list[Row]
    test: list[Row]


def read_mixture(recipe: MixtureRecipe) -> Mixture:
    """Read all sources and tests of a recipe; rows of a source without a word are skipped.

    Training rows are left out if their id, or their text apart from case, accents, punctuation and
    Unicode normalization, is in a test table, an excluded table, a test fold or validation rows.
    Validation rows are left out likewise for the test rows.

    Raises:
        DataError: a bad row, an unknown label, or no training row.
    """
    text = Needs(text=True)
    tests = {name: read_csv(Path(path), split="test", needs=text)
             for name, path in recipe.tests.items()}  # fmt: skip
    any_text = Needs(text=True, label=False)
    excluded = [row for path in recipe.exclude for row in read_csv(Path(path), needs=any_text)]
    similar = [row.text or "" for row in excluded]
    splits = {name: _split(_read(source, similar), source)
              for name, source in recipe.sources.items()}  # fmt: skip
    for name, split in splits.items():
        if split.test:
            tests[f"{name}_test"] = split.test
    held_out = [*excluded, *(row for rows in tests.values() for row in rows)]
    validation = {name: _without(split.validation, held_out) for name, split in splits.items()}
    held_out += [row for rows in validation.values() for row in rows]
    train = {name: _without(split.train, held_out) for name, split in splits.items()}
    notes = [
        f"{name}: {len(split.train) - len(train[name])} training rows are left out: their id or "
        "text is held out."
        for name, split in splits.items()
        if len(split.train) > len(train[name])
    ]
    notes += [f"{name}: no training rows." for name, rows in train.items() if not rows]
    everything = [row for rows in train.values() for row in rows]
    if not everything:
        raise DataError("no training row is left after the held-out ones are removed.")
    return Mixture(
        train={name: rows for name, rows in train.items() if rows},
        validation={name: rows for name, rows in validation.items() if rows},
        tests=tests,
        labels=recipe.labels or label_set(row.label for row in everything),
        notes=tuple(notes),
    )


def examples(mixture: Mixture, recipe: MixtureRecipe) -> list[Example]:
    """Return the training rows with their class numbers and soft labels.

    Raises:
        DataError: an unknown label, fewer than two labels, or a bad soft label.
    """
    teacher = _teacher(recipe)
    found = [
        Example(
            text=row.text or "",
            label=label_index(row.label, mixture.labels, where=row.where),
            source=name,
            soft=_soft(row, teacher, mixture.labels),
        )
        for name, rows in mixture.train.items()
        for row in rows
    ]
    if len({example.label for example in found}) < 2:
        raise DataError("all training rows have the same label: a classifier needs two or more.")
    return found


def fold_of(group: str, folds: int) -> int:
    """Return the fold of a group: the same in every run and for every order of the rows."""
    digest = hashlib.sha256(group.encode()).digest()
    return int.from_bytes(digest[:8], "big") % folds


def _read(source: Source, similar: Sequence[str]) -> dict[str, list[Row]]:
    """Return the rows of a source by split; the split "" of a source without splits."""
    if source.builtin == "synthetic":
        return {"": _synthetic(source, similar)}
    if source.builtin == "written":
        return {"": written_sentences()}
    path = Path(source.path or "")
    if source.train_split is None:
        return {"": _read_table(path, source)}
    names = {"train": source.train_split, "validation": str(source.validation_split)}
    parts = {kind: _read_table(path, source, split) for kind, split in names.items()}
    if {row.where for row in parts["train"]} & {row.where for row in parts["validation"]}:
        raise DataError(f"{path}: has no column 'split', which train_split needs.")
    return parts


def _read_table(path: Path, source: Source, split: str | None = None) -> list[Row]:
    layout = TableFormat(
        text_column=source.text_column,
        label_column=source.label_column,
        id_column=source.id_column,
        delimiter=source.delimiter,
        encoding=source.encoding,
        label_map={label_key(word): label for word, label in source.label_map.items()},
        group_column=source.group_column,
    )
    rows = read_csv(path, split=split, needs=Needs(text=False), layout=layout)
    if source.videos is not None:
        rows = with_groups(rows, read_videos(Path(source.videos)))
    stripped = [replace(row, text=(row.text or "").strip(source.strip or None)) for row in rows]
    kept = [row for row in stripped if text_key(row.text or "")]
    if not kept:
        raise DataError(f"{path}: no row has a text with a word. Name its column in text_column.")
    return kept


def _synthetic(source: Source, similar: Sequence[str]) -> list[Row]:
    rows = synthetic_sentences(seed=source.generator_seed, exclude=similar)
    return [
        Row(id=f"synthetic-{number}", label=row.label, text=row.text, audio=None, group="",
            where=f"synthetic, row {number}")
        for number, row in enumerate(rows)
    ]  # fmt: skip


def _split(parts: Mapping[str, list[Row]], source: Source) -> _Split:
    train, validation, test = parts.get("train", []), list(parts.get("validation", ())), []
    for row in parts.get("", ()):
        fold = fold_of(row.group or text_key(row.text or ""), source.folds)
        if fold in source.test_folds:
            test.append(row)
        elif fold in source.validation_folds:
            validation.append(row)
        else:
            train.append(row)
    return _Split(train, validation, test)


def _without(rows: Iterable[Row], held_out: Sequence[Row]) -> list[Row]:
    known = {text_key(row.text or "") for row in held_out}
    return [row for row in without(rows, held_out) if text_key(row.text or "") not in known]


def _teacher(recipe: MixtureRecipe) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for path in recipe.soft.tables:
        rows = read_csv(Path(path), needs=Needs(text=True, label=False))
        if not any(row.scores for row in rows):
            raise DataError(
                f"{path}: has no columns score_LABEL. emo-predict --scores writes them."
            )
        found |= {_same_text(row.text or ""): row for row in rows if row.scores}
    return found


def _soft(row: Row, teacher: Mapping[str, Row], labels: Sequence[str]) -> tuple[float, ...]:
    scored = row if row.scores else teacher.get(_same_text(row.text or ""))
    if scored is None:
        return ()
    return tuple(soft_target(scored.scores, labels, scored.where).tolist())


def _same_text(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def label_counts(rows: Iterable[Example]) -> Counter[tuple[str, int]]:
    """Return the number of rows by source and class."""
    return Counter((row.source, row.label) for row in rows)
