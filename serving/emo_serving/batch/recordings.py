"""Data source for Ray Data: recordings in tables and folders, as Arrow tables."""

import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from emo_runtime.rows import Row, RowError, RowFormat, format_of, read_rows, utterance_of

# ``row`` is unique and stays the same from run to run: "calls.jsonl:17", or a sound file's name.
ROW = "row"
SCHEMA = pa.schema(
    {
        ROW: pa.string(),
        "id": pa.string(),
        "text": pa.string(),
        "audio": pa.string(),
        "sound": pa.binary(),
        "error": pa.string(),
    }
)
_PARQUET = ".parquet"
_SOUNDS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".au"}
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Place:
    """A path on one of pyarrow's file systems."""

    filesystem: fs.FileSystem
    path: str

    @classmethod
    def of(cls, where: str) -> "Place":
        """Return the place of a path or a URI (``s3://``, ``gs://``). Raises RowError."""
        try:
            uri = where if "://" in where else str(Path(where).absolute())
            return cls(*fs.FileSystem.from_uri(uri))
        except (OSError, pa.ArrowException) as error:
            raise RowError(f"{where}: neither a path nor a supported URI: {error}") from None

    def holds(self, other: "Place") -> bool:
        """Return True if ``other`` is this place, or inside it."""
        same = self.filesystem == other.filesystem
        return same and PurePath(other._real).is_relative_to(self._real)

    @property
    def _real(self) -> str:
        local = isinstance(self.filesystem, fs.LocalFileSystem)
        return os.path.realpath(self.path) if local else self.path

    def files(self) -> list[str]:
        """Return the files of a folder, sorted, without hidden ones."""
        found = self.filesystem.get_file_info(
            fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        )
        inside = [info.path for info in found if info.type is fs.FileType.File]
        return sorted(path for path in inside if not _is_hidden(_name(path, self.path)))


class Recordings(Datasource):
    """A table (Parquet, JSON Lines, CSV), a folder of such, or a folder of sound files."""

    def __init__(self, source: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._place = Place.of(source)
        info = self._place.filesystem.get_file_info(self._place.path)
        if info.type is fs.FileType.File:
            self._folder = str(PurePosixPath(self._place.path).parent)
            files = [self._place.path]
        else:
            self._folder = self._place.path
            files = self._place.files()
        self._tables = [path for path in files if _suffix(path) == _PARQUET or format_of(path)]
        self._sounds = [path for path in files if _suffix(path) in _SOUNDS]
        if not (self._tables or self._sounds):
            raise RowError(
                f"{source}: no such file, and no folder with tables or sound files. Give a "
                "Parquet, JSON Lines or CSV file, or such a folder."
            )

    def check(self) -> None:
        """Raise RowError if the first table does not have the expected columns."""
        for path in self._tables[:1]:
            if _suffix(path) == _PARQUET:
                self._columns(path)
            else:
                next(self._from_text(path), None)

    @property
    def filesystem(self) -> fs.FileSystem:
        """The file system of the tables and the sound files."""
        return self._place.filesystem

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        """Return a task for each table, else one that lists the sound files."""
        reads: list[Callable[[], Iterator[pa.Table]]]
        reads = [partial(self._read, path) for path in self._tables] or [self._list]
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(read, unknown, SCHEMA) for read in reads]

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown."""
        return None

    def _list(self) -> Iterator[pa.Table]:
        rows = [{ROW: _name(path, self._folder), "audio": path} for path in self._sounds]
        yield pa.Table.from_pylist(rows, SCHEMA)

    def _read(self, path: str) -> Iterator[pa.Table]:
        name = _name(path, self._folder)
        parquet = _suffix(path) == _PARQUET
        records = self._from_parquet(path) if parquet else self._from_text(path)
        numbered = ({ROW: f"{name}:{number}", **record} for number, record in records)
        return _tables(numbered)

    def _from_text(self, path: str) -> Iterator[tuple[int, dict[str, Any]]]:
        with (
            self.filesystem.open_input_stream(path) as stream,
            io.TextIOWrapper(
                stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
            ) as text,
        ):
            try:
                for row in read_rows(text, RowFormat(format_of(path)), Path(path).parent, None):
                    yield row.number, _from_row(row)
            except RowError as error:
                raise RowError(f"{path}: {error}") from None

    def _columns(self, path: str) -> list[str]:
        try:
            with self.filesystem.open_input_file(path) as stream:
                return _check_columns(path, pq.read_schema(stream))
        except pa.ArrowException as error:
            raise RowError(f"{path}: not a Parquet file: {error}") from None

    def _from_parquet(self, path: str) -> Iterator[tuple[int, dict[str, Any]]]:
        columns = self._columns(path)
        with self.filesystem.open_input_file(path) as stream:
            number = 0
            for batch in pq.ParquetFile(stream).iter_batches(_ROWS_AT_ONCE, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield number, _from_columns(record, Path(path).parent)


def _check_columns(path: str, schema: pa.Schema) -> list[str]:
    given = [name for name in ("text", "audio") if name in schema.names]
    if not given:
        raise RowError(f"{path}: has neither a column 'text' nor a column 'audio'.")
    for name in given:
        kind = schema.field(name).type
        fits = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        fits |= name == "audio" and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
        if not fits:
            raise RowError(
                f"{path}: the column {name!r} is of type {kind}: write text as strings, sound as "
                "strings (the names of files) or as bytes."
            )
    return ["id", *given] if "id" in schema.names else given


def _from_columns(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value is not None}
    identity = str(given["id"]) if "id" in given else None
    if isinstance(given.get("audio"), bytes):
        return {"id": identity, "text": given.get("text"), "sound": given["audio"]}
    return _from_row(Row(0, identity, utterance_of(given, folder, None)))


def _from_row(row: Row) -> dict[str, Any]:
    identity = None if row.id is None else row.id.encode("utf-8", "replace").decode()
    utterance = row.utterance
    if isinstance(utterance, RowError):
        return {"id": identity, "error": str(utterance)}
    audio = None if utterance.audio is None else str(utterance.audio)
    try:
        (utterance.text or "").encode()
        (audio or "").encode()
    except UnicodeEncodeError:
        return {"id": identity, "error": "the row is not UTF-8: convert the file."}
    return {"id": identity, "text": utterance.text, "audio": audio}


def _tables(records: Iterator[dict[str, Any]]) -> Iterator[pa.Table]:
    while some := list(itertools.islice(records, _ROWS_AT_ONCE)):
        yield pa.Table.from_pylist(some, SCHEMA)


def _name(path: str, folder: str) -> str:
    return str(PurePosixPath(path).relative_to(folder))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in PurePosixPath(name).parts)
