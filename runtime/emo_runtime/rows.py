"""Read rows of a CSV or JSON Lines file as utterances; an invalid row fails alone."""

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Literal, TextIO

from emo_runtime.audio.reader import is_base64
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.errors import EmoError
from emo_runtime.result import Utterance
from emo_runtime.tables import (
    TableError,
    decoded,
    missing_column,
    open_table,
    read_records,
)

Format = Literal["csv", "jsonl"]

_FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class RowError(EmoError):
    """A row of an input file that is not an utterance."""


@dataclass(frozen=True)
class Row:
    """A row: its number (from 1, the CSV header not counted), its id or None, its utterance.

    ``record`` has its values by column or JSON key; empty for a row that can't be read.
    """

    number: int
    id: str | None
    utterance: Utterance | RowError
    record: Mapping[str, object] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class RowFormat:
    """How to read a file of rows; None: detected.

    ``text`` and ``audio`` name the columns (or JSON keys) of the transcript and of the sound file.
    """

    kind: Format | None = None
    delimiter: str | None = None
    encoding: str | None = None
    text: str = "text"
    audio: str = "audio"


@contextlib.contextmanager
def open_rows(source: str, layout: RowFormat, task: TaskName | None) -> Iterator[Iterator[Row]]:
    """Open a CSV or JSON Lines file and yield an iterator over its rows.

    CSV has a header with the columns text and/or audio (and id, speaker); JSON Lines has one
    object per line with these keys. Audio paths are relative to the file's folder.

    Args:
        source: a path, or "-" for standard input.
        layout: format, delimiter, encoding and column names.
        task: the task of every row; None: as given by the inputs.

    Raises:
        RowError: the file is missing, or its header names neither column.
    """
    if source == "-":
        with (
            open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file,
            decoded(file, layout.encoding) as stream,
        ):
            yield read_rows(stream, layout, Path(), task)
        return
    path = Path(source)
    if not os.path.isfile(path):  # noqa: PTH113  (False for a name that is too long)
        raise RowError(f"{source[:200]}: no such file. Give a CSV or JSON Lines file, or - .")
    layout = replace(layout, kind=layout.kind or format_of(path))
    with open_table(path, layout.encoding) as stream:
        yield read_rows(stream, layout, path.parent, task)


def format_of(path: str | PurePath) -> Format | None:
    """Return the format for the suffix of a file name; None if unknown."""
    return _FORMATS.get(PurePath(path).suffix.lower())


def count_rows(source: str, layout: RowFormat) -> int | None:
    """Return the number of rows of a file, for a progress bar; None for standard input."""
    if source == "-":
        return None
    with open_rows(source, layout, None) as rows:
        return sum(1 for _ in rows)


def read_rows(
    stream: TextIO, layout: RowFormat, folder: Path, task: TaskName | None
) -> Iterator[Row]:
    """Yield the rows of a text stream; audio paths are relative to ``folder``.

    Raises:
        RowError: the header names neither a text nor an audio column.
    """
    lines: Iterable[str] = stream
    kind = layout.kind
    if kind is None:
        first = stream.readline()
        if first.lstrip().startswith("[{"):
            raise RowError("a JSON array. Write JSON Lines: one object on each line.")
        kind = "jsonl" if first.lstrip().startswith("{") else "csv"
        lines = itertools.chain([first], stream)
    records = _from_json_lines(lines) if kind == "jsonl" else _from_csv(lines, layout)
    for number, record in enumerate(records, start=1):
        if isinstance(record, TableError):
            yield Row(number, None, RowError(str(record)))
            continue
        identity = record.get("id")
        yield Row(
            number,
            None if identity is None else str(identity),
            utterance_of(_renamed(record, layout), folder, task),
            record,
        )


def _renamed(record: Mapping[str, object], layout: RowFormat) -> dict[str, object]:
    """Return the record with its text and audio under the keys ``text`` and ``audio``."""
    if (layout.text, layout.audio) == ("text", "audio"):
        return dict(record)
    return {**record, "text": record.get(layout.text), "audio": record.get(layout.audio)}


def _from_csv(
    lines: Iterable[str], layout: RowFormat
) -> Iterator[Mapping[str, object] | TableError]:
    wanted = (layout.text, layout.audio)
    try:
        columns, records = read_records(
            lines, (*wanted, "id", "speaker", "label"), layout.delimiter
        )
    except TableError as error:
        raise RowError(str(error)) from None
    names = _names_in_other_case(columns, (*wanted, "id", "speaker"))
    if not {names.get(name, name) for name in columns} & set(wanted):
        raise RowError(
            f"{missing_column(columns, wanted)} Options: --text-column, --audio-column, "
            "--delimiter, --encoding."
        )
    for record in records:
        if isinstance(record, TableError):
            yield record
        else:
            yield {names.get(key, key): value for key, value in record.items() if value != ""}


def _names_in_other_case(columns: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return the wanted name of each column that differs from it in upper and lower case only."""
    known = set(columns)
    missing = {name.lower(): name for name in wanted if name not in known}
    return {name: missing.pop(name.lower()) for name in columns if name.lower() in missing}


def _from_json_lines(lines: Iterable[str]) -> Iterator[Mapping[str, object] | TableError]:
    for line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield TableError(f"not a JSON line: {error}.")
            continue
        if isinstance(record, dict):
            yield record
        else:
            yield TableError(f"a JSON {type(record).__name__}, expected an object.")


def utterance_of(
    record: dict[str, object], folder: Path, task: TaskName | None
) -> Utterance | RowError:
    """Return the utterance of a record with text and/or audio (a path relative to ``folder``)."""
    text, audio = record.get("text"), record.get("audio")
    for name, value in (("text", text), ("audio", audio)):
        if value is not None and not isinstance(value, str):
            return RowError(f"{name!r} is a {type(value).__name__}, expected a string.")
    if text is None and audio is None:
        return RowError("neither text nor audio is given.")
    if audio is not None and is_base64(str(audio)):
        return RowError(
            "'audio' looks like base64, not like the name of a file: write the decoded bytes to a "
            "file, and its name into the row."
        )
    speaker = record.get("speaker")
    return Utterance(
        text=str(text) if text is not None else None,
        audio=folder / str(audio) if audio is not None else None,
        task=task,
        speaker=str(speaker) if speaker is not None else None,
    )
