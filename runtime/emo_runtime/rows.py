"""Rows of a CSV or JSON Lines file as utterances; a bad row is an error of its own."""

import contextlib
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, TextIO

from emo_runtime.bundle.manifest import TaskName
from emo_runtime.errors import EmoError
from emo_runtime.result import Utterance

Format = Literal["csv", "jsonl"]

_FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MAX_FIELD_CHARACTERS = 64 << 20


class RowError(EmoError):
    """A row of an input file that makes no utterance."""


@dataclass(frozen=True)
class Row:
    """A row's number (from 1, the CSV header not counted), its id if it has one, its utterance."""

    number: int
    id: str | None
    utterance: Utterance | RowError


@contextlib.contextmanager
def open_rows(source: str, wanted: Format | None, task: TaskName | None) -> Iterator[Iterator[Row]]:
    """The rows of the file ``source`` ("-": standard input). Raises RowError.

    CSV has a header with the columns text and/or audio (and id); JSON Lines an object a line with
    these keys. Audio files are looked for relative to the file's folder.
    """
    # Bytes that are no UTF-8 become surrogates: they spoil their own row, not the whole file.
    if source == "-":
        with open(
            sys.stdin.fileno(),
            encoding="utf-8-sig",
            errors="surrogateescape",
            closefd=False,
            newline="",
        ) as stream:
            yield read_rows(stream, wanted, Path(), task)
        return
    path = Path(source)
    if not path.is_file():
        raise RowError(f"{source}: no such file. Give a CSV or JSON Lines file, or - .")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        yield read_rows(stream, wanted or format_of(path), path.parent, task)


def format_of(path: str | PurePath) -> Format | None:
    """What a file's name says that it is; None where only its first line can tell."""
    return _FORMATS.get(PurePath(path).suffix.lower())


def count_rows(source: str, wanted: Format | None) -> int | None:
    """How many rows a file has, for a progress bar; None for standard input."""
    if source == "-":
        return None
    with open_rows(source, wanted, None) as rows:
        return sum(1 for _ in rows)


def read_rows(
    stream: TextIO, wanted: Format | None, folder: Path, task: TaskName | None
) -> Iterator[Row]:
    """The rows of ``stream``, whose audio files are in ``folder``. Raises RowError."""
    lines: Iterable[str] = stream
    if wanted is None:
        first = stream.readline()
        wanted = "jsonl" if first.lstrip().startswith("{") else "csv"
        lines = _prepend(first, stream)
    records = _from_json_lines(lines) if wanted == "jsonl" else _from_csv(lines)
    for number, record in enumerate(records, start=1):
        if isinstance(record, RowError):
            yield Row(number, None, record)
            continue
        identity = record.get("id")
        yield Row(
            number, None if identity is None else str(identity), utterance_of(record, folder, task)
        )


def _prepend(first: str, rest: Iterable[str]) -> Iterator[str]:
    yield first
    yield from rest


def _from_csv(lines: Iterable[str]) -> Iterator[dict[str, object] | RowError]:
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    reader = csv.DictReader(lines)
    columns = set(reader.fieldnames or ())
    if not columns & {"text", "audio"}:
        raise RowError(
            f"the CSV header names neither 'text' nor 'audio' (it has: "
            f"{', '.join(sorted(map(str, columns))) or 'nothing'}). Name the columns so."
        )
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowError(f"not a CSV row: {error}.")
            continue
        if None in record or None in record.values():
            yield RowError(f"the row has not as many fields as the header ({len(columns)}).")
            continue
        yield {key: value for key, value in record.items() if value != ""}


def _from_json_lines(lines: Iterable[str]) -> Iterator[dict[str, object] | RowError]:
    for line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield RowError(f"not a JSON line: {error}.")
            continue
        if isinstance(record, dict):
            yield record
        else:
            yield RowError(f"a JSON {type(record).__name__}, expected an object.")


def utterance_of(
    record: dict[str, object], folder: Path, task: TaskName | None
) -> Utterance | RowError:
    """The utterance of a record with text and/or audio, a file in ``folder``."""
    text, audio = record.get("text"), record.get("audio")
    for name, value in (("text", text), ("audio", audio)):
        if value is not None and not isinstance(value, str):
            return RowError(f"{name!r} is a {type(value).__name__}, expected a string.")
    if text is None and audio is None:
        return RowError("neither text nor audio is given.")
    return Utterance(
        text=str(text) if text is not None else None,
        audio=folder / str(audio) if audio is not None else None,
        task=task,
    )
