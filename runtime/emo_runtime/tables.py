"""Delimited text tables: encoding and delimiter detection, and records by column name."""

import codecs
import contextlib
import csv
import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from emo_runtime.errors import EmoError

DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_BYTES = 1 << 20
_ZIP = b"PK\x03\x04"
_MAX_FIELD_CHARACTERS = 64 << 20
_CP1252_CHARACTERS = (
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜßàáâãäåæçèéêëìíîïñòóôõöøùúûü"
    "¡¿ªº°·«»‹›“”‘’„‚–—…€£§©®™´¨¼½¾×±\xa0\xad"
)
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TableError(EmoError):
    """A table, or one of its rows, that cannot be read."""


def detect_encoding(sample: bytes) -> str:
    """Return the name of the encoding of a text file from its first bytes.

    In this order: a byte order mark; UTF-16 without a mark, recognized by its zero bytes; UTF-8;
    and Windows-1252, which spreadsheets in Western Europe and Latin America write. A UTF-8 file
    with a few damaged bytes stays UTF-8: it is Windows-1252 only if none of its letters beyond
    ASCII is valid UTF-8, and all of them are letters or punctuation that Spanish text has.
    """
    for mark in sorted(_BYTE_ORDER_MARKS, key=len, reverse=True):
        if sample.startswith(mark):
            return _BYTE_ORDER_MARKS[mark]
    if b"\0" in sample:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        if max(even, odd) > len(sample) // 8:
            return "utf-16-le" if odd > even else "utf-16-be"
    text = sample.decode("utf-8", "surrogateescape")
    damaged = {c for c in _without_cut_end(text, sample) if "\udc80" <= c <= "\udcff"}
    valid = any(character >= "\x80" for character in text if not "\udc80" <= character <= "\udcff")
    if not damaged or valid:
        return "utf-8"
    plausible = set(_CP1252_CHARACTERS.encode("cp1252").decode("ascii", "surrogateescape"))
    return "cp1252" if damaged <= plausible else "utf-8"


def decode_text(data: bytes, encoding: str | None = None) -> str:
    """Return the text of a whole file; ``encoding`` overrides the detection.

    Raises:
        TableError: the encoding is unknown, or the bytes are not valid in it.
    """
    name = _known(encoding or detect_encoding(data))
    try:
        return data.decode(name).removeprefix("\ufeff")
    except (UnicodeError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TableError(f"not valid {name} ({reason}). Name the file's encoding.") from None


def detect_delimiter(header: str, wanted: Collection[str]) -> str:
    """Return the delimiter that splits a header line into the most of the ``wanted`` columns.

    If no delimiter gives a wanted column: the one that gives the most columns.
    """

    def rank(delimiter: str) -> tuple[int, int]:
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        return len(set(names) & set(wanted)), len(names)

    return max(DELIMITERS, key=rank)


@contextlib.contextmanager
def open_table(path: Path, encoding: str | None = None) -> Iterator[TextIO]:
    """Open a text file in its detected or given encoding, ready for ``read_records``.

    Bytes that are not valid in UTF-8 become surrogates, so that only their row fails.

    Raises:
        TableError: the file cannot be opened, or the encoding is unknown.
    """
    try:
        file = path.open("rb", buffering=0)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"{str(path)[:200]}: {reason}. Check the path.") from None
    with file, decoded(file, encoding) as stream:
        yield stream


@contextlib.contextmanager
def decoded(file: io.RawIOBase, encoding: str | None = None) -> Iterator[TextIO]:
    """Decode an unbuffered binary file in its detected or given encoding; it may be a pipe."""
    buffered = io.BufferedReader(file, _SAMPLE_BYTES)
    sample = buffered.peek(_SAMPLE_BYTES)
    if sample.startswith(_ZIP):
        raise TableError("an Excel workbook or a ZIP archive. Save it as CSV.")
    name = _known(encoding or detect_encoding(sample))
    errors = "surrogateescape" if name.startswith("utf-8") else "replace"
    stream = io.TextIOWrapper(
        buffered, "utf-8-sig" if name == "utf-8" else name, errors=errors, newline=""
    )
    with stream:
        yield stream


def read_records(
    lines: Iterable[str], wanted: Collection[str], delimiter: str | None = None
) -> tuple[list[str], Iterator[dict[str, str] | TableError]]:
    """Read a delimited table with a header line.

    The first line ``sep=;``, which Excel writes and reads, names the delimiter.

    Args:
        lines: the lines of the table, header first.
        wanted: column names used to detect the delimiter.
        delimiter: the delimiter; None detects it from the header.

    Returns:
        The column names, and the rows in order: a record by column name, or the error of that row.

    Raises:
        TableError: the delimiter is not a single character, or a column name occurs twice.
    """
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    rest = _Lines(lines)
    header = next((line for line in rest if line.strip("\r\n")), "")
    if header.lower().startswith("sep=") and len(header.rstrip("\r\n")) == len("sep=") + 1:
        delimiter = delimiter or header[len("sep=")]
        header = next(rest, "")
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter)
    if delimiter is None:
        delimiter = detect_delimiter(header, wanted)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise TableError(f"delimiter {delimiter!r}: give one character, such as ';', or 'tab'.")
    rest.put_back(header)
    reader = csv.reader(rest, delimiter=delimiter)
    columns = [name.strip() for name in next(reader, [])]
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise TableError(f"the header has the column {twice[0]!r} more than once.")
    return columns, _records(reader, columns, rest, delimiter)


class _Lines:
    """The lines of a table; those of the current row are kept."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.row: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.row.append(line)
        return line

    def put_back(self, line: str) -> None:
        """Return ``line`` as the next one."""
        self._lines = itertools.chain([line], self._lines)


def missing_column(columns: Iterable[str], wanted: Iterable[str]) -> str:
    """Return the message for a table without any of the ``wanted`` columns."""
    found = ", ".join(repr(name[:40]) for name in columns) or "none"
    return (
        f"no column {' or '.join(map(repr, wanted))} in the header (columns found: {found}). "
        "Rename the columns, or give the delimiter and the encoding of the file."
    )


def _records(
    reader: "Iterator[list[str]]", columns: list[str], lines: _Lines, delimiter: str
) -> Iterator[dict[str, str] | TableError]:
    while True:
        lines.row.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield TableError(f"not a valid row: {error}.")
            continue
        if not fields:
            continue
        if len(lines.row) > 1 and _has_open_quote(lines.row, delimiter):
            yield TableError(
                f"a quote is not closed: {len(lines.row)} lines up to the end of the file are one "
                "row."
            )
            continue
        if len(fields) != len(columns):
            yield TableError(f"the row has {len(fields)} fields, the header names {len(columns)}.")
            continue
        yield dict(zip(columns, fields, strict=True))


def _has_open_quote(row: list[str], delimiter: str) -> bool:
    """True if the file ends inside a quoted field."""
    try:
        list(csv.reader(row, delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end of data" in str(error)
    return False


def pick_column(
    columns: Iterable[str], names: Iterable[str], given: str | None = None
) -> str | None:
    """Return the column named ``given``, else the first of ``names`` that exists, else None.

    Raises:
        TableError: a column was given and does not exist.
    """
    known = list(columns)
    if given is not None:
        if given not in known:
            raise TableError(missing_column(known, [given]))
        return given
    lowered: Mapping[str, str] = {name.lower(): name for name in reversed(known)}
    return next((lowered[name] for name in names if name in lowered), None)


def _known(encoding: str) -> str:
    try:
        "".encode(encoding)
    except (LookupError, TypeError, ValueError):  # codecs.lookup accepts base64 and the like
        raise TableError(
            f"unknown encoding {encoding!r:.50}. Give one that Python knows, such as utf-8 or "
            "cp1252."
        ) from None
    return encoding


def _without_cut_end(text: str, sample: bytes) -> str:
    """Drop a multi-byte character that is cut by the end of the sample."""
    if len(sample) < _SAMPLE_BYTES:
        return text
    return text[:-3]
