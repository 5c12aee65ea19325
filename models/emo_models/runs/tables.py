"""The tables that a run leaves beside its checkpoint, so that its bundle can be asked the same."""

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
from emo_models.labels import LABELS

# ``rows``: texts; ``pairs``: sound with text; ``clips``: every sound once.
Kind = Literal["rows", "pairs", "clips"]
BASELINE = "tfidf_svm"


def write_rows(run: Path, name: str, rows: Sequence[Row], baseline: Ints | None = None) -> None:
    """``rows_NAME.csv``: the texts of a test set, and what the baseline says of them."""
    columns = ("id", "label", "text") + (() if baseline is None else (BASELINE,))
    said = [()] * len(rows) if baseline is None else [(LABELS[index],) for index in baseline]
    _write(
        run / f"rows_{name}.csv",
        columns,
        [
            (row.id, LABELS[row.label], row.text or "", *more)
            for row, more in zip(rows, said, strict=True)
        ],
    )


def write_pairs(
    run: Path, name: str, pairs: Pairs, texts: Sequence[Row], clips: Sequence[Row]
) -> None:
    """``pairs_NAME.csv``: sound and text of a test set as they were put together."""
    _write(
        run / f"pairs_{name}.csv",
        ("id", "label", "text", "audio"),
        [
            (str(number), LABELS[texts[text].label], texts[text].text or "", _sound(clips[clip]))
            for number, (clip, text) in enumerate(zip(pairs.audio, pairs.text, strict=True))
        ],
    )


def write_clips(run: Path, name: str, clips: Sequence[Row]) -> None:
    """``clips_NAME.csv``: every sound of a test set once."""
    _write(
        run / f"clips_{name}.csv",
        ("id", "label", "audio"),
        [(str(number), LABELS[clip.label], _sound(clip)) for number, clip in enumerate(clips)],
    )


def tables_of(run: Path, kind: Kind) -> list[tuple[str, Path]]:
    """The tables of a kind with the names of their test sets.

    Raises:
        DataError: there is none.
    """
    found = sorted(run.glob(f"{kind}_*.csv"))
    if not found:
        raise DataError(f"{run}: holds no {kind}_*.csv. Give the directory of a run of emo-train.")
    return [(path.stem.removeprefix(f"{kind}_"), path) for path in found]


def _sound(row: Row) -> str:
    return str(row.audio.absolute()) if row.audio else ""


def _write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerows(rows)
    atomic_text(path, stream.getvalue())
