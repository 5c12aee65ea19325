"""Test sets that a run writes next to its checkpoint, to evaluate its bundle on the same rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from emo_models.atomic import atomic_text
from emo_models.data.corpora import Row
from emo_models.data.pairs import Pairs
from emo_models.errors import DataError
from emo_models.evaluation.metrics import Ints

# ``rows``: texts; ``pairs``: sound with text; ``clips``: every sound once.
Kind = Literal["rows", "pairs", "clips"]
BASELINE = "tfidf_svm"


def write_rows(
    run: Path,
    name: str,
    rows: Sequence[Row],
    labels: Sequence[str],
    baseline: Ints | None = None,
) -> None:
    """Write ``rows_NAME.csv``: the texts of a test set, with the baseline's predictions."""
    columns = ("id", "label", "text") + (() if baseline is None else (BASELINE,))
    more = [()] * len(rows) if baseline is None else [(labels[index],) for index in baseline]
    _write(
        run / f"rows_{name}.csv",
        columns,
        [
            (row.id, row.label, row.text or "", *predicted)
            for row, predicted in zip(rows, more, strict=True)
        ],
    )


def write_pairs(
    run: Path, name: str, pairs: Pairs, texts: Sequence[Row], clips: Sequence[Row]
) -> None:
    """Write ``pairs_NAME.csv``: the pairs of sound and text of a test set."""
    _write(
        run / f"pairs_{name}.csv",
        ("id", "label", "text", "audio"),
        [
            (str(number), texts[text].label, texts[text].text or "", _sound(clips[clip]))
            for number, (clip, text) in enumerate(zip(pairs.audio, pairs.text, strict=True))
        ],
    )


def write_clips(run: Path, name: str, clips: Sequence[Row]) -> None:
    """Write ``clips_NAME.csv``: every sound of a test set once."""
    _write(
        run / f"clips_{name}.csv",
        ("id", "label", "audio"),
        [(str(number), clip.label, _sound(clip)) for number, clip in enumerate(clips)],
    )


def tables_of(run: Path, kind: Kind) -> list[tuple[str, Path]]:
    """Return the tables of a kind with the names of their test sets.

    Raises:
        DataError: no such table.
    """
    found = sorted(run.glob(f"{kind}_*.csv"))
    if not found:
        raise DataError(
            f"{run}: holds no {kind}_*.csv. Give the directory of a run of emo-train that was made "
            "with --test."
        )
    return [(path.stem.removeprefix(f"{kind}_"), path) for path in found]


def _sound(row: Row) -> str:
    return str(row.audio.absolute()) if row.audio else ""


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(rows)
    atomic_text(path, stream.getvalue())
