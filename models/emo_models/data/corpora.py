"""Readers of labelled speech corpora: tables with any column names become `Row` objects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from emo_models.data.soft_labels import Scores, most_probable, read_scores, score_columns
from emo_models.errors import DataError
from emo_models.labels import map_label, split_labels
from emo_runtime.tables import TableError, missing_column, open_table, pick_column, read_records

_ID = ("id", "filename", "file", "audio")
_TEXT = ("text", "transcription", "transcript")
_AUDIO = ("audio", "file", "path")
_GROUP = ("group", "speaker", "youtube_key", "video")
_LABEL = ("label",)
_KNOWN = {*_ID, *_TEXT, *_AUDIO, *_GROUP, *_LABEL, "split"}
# Suffixes tried for sound files that a table names without one.
_ENDINGS = ("", ".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a")


@dataclass(frozen=True)
class Row:
    """One utterance.

    Attributes:
        id: id of the utterance; ``where`` in a table without ids.
        label: its label, mapped and in lower case; empty without a label.
        text: transcript, or None.
        audio: sound file, or None.
        group: video or speaker, which must not be in two splits; empty if unknown.
        where: file and row, for messages.
        scores: probabilities by label (the columns ``score_LABEL``); empty if there are none.
        labels: labels of a row of a multi-label table, which ``label`` joins; None in other tables.
    """

    id: str
    label: str
    text: str | None
    audio: Path | None
    group: str
    where: str
    scores: Scores = ()
    labels: tuple[str, ...] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Its labels: one, or any number in a multi-label table."""
        return (self.label,) if self.labels is None else self.labels


@dataclass(frozen=True)
class TableFormat:
    """Layout of a table. None: detected, or the usual column names.

    ``label_map`` maps the key (``emo_models.labels.label_key``) of a label word to a label. With
    ``label_separator`` a cell has any number of labels (anger|sadness); the separator alone is a
    row without labels.
    """

    text_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)
    group_column: str | None = None
    label_separator: str | None = None

    @property
    def named(self) -> set[str]:
        """The column names given by the caller."""
        given = (self.text_column, self.label_column, self.id_column, self.group_column)
        return {name for name in given if name is not None}


@dataclass(frozen=True)
class Needs:
    """Required parts of a row."""

    text: bool = False
    audio: bool = False
    label: bool = True


@dataclass(frozen=True)
class _Columns:
    all: Collection[str]
    id: str | None
    text: str | None
    audio: str | None
    group: str | None
    label: str | None
    scores: Mapping[str, str]
    named_like_ids: bool


def read_csv(
    path: Path,
    *,
    split: str | None = None,
    audio_folder: Path | None = None,
    needs: Needs | None = None,
    layout: TableFormat | None = None,
) -> list[Row]:
    """Read the rows of a corpus or of the user's own table.

    Known columns: ``label``; ``score_LABEL`` (probabilities; the most probable label is the label
    of a row without one); ``text`` / ``transcription`` / ``transcript``; ``audio`` / ``file`` /
    ``path`` (relative to the table's folder or to ``audio_folder``); ``id`` / ``filename``;
    ``group`` / ``speaker`` / ``youtube_key`` / ``video``; ``split``. With ``audio_folder`` and no
    audio column (EmoSPeech), the sound file is the file in that folder named after the id.

    Args:
        path: a table with a header; delimiter and encoding are detected.
        split: where the table has a ``split`` column, only rows of that split are read.
        audio_folder: folder of the sound files.
        needs: parts that every row must have; by default the label.
        layout: column names, delimiter, encoding, label map.

    Raises:
        DataError: missing file or column, empty text, missing sound, or duplicate id; names file
            and row.
    """
    needs, layout = needs or Needs(), layout or TableFormat()
    try:
        with open_table(path, layout.encoding) as stream:
            columns, records = read_records(stream, _KNOWN | layout.named, layout.delimiter)
            chosen = _choose(columns, layout, named_like_ids=audio_folder is not None)
            if needs.label and chosen.label is None and not chosen.scores:
                raise DataError(f"{path}: {missing_column(columns, ['label'])}")
            if needs.text and chosen.text is None:
                raise DataError(f"{path}: {missing_column(columns, _TEXT)}")
            rows = []
            for number, record in enumerate(records, start=1):
                where = f"{path}, row {number}"
                if isinstance(record, TableError):
                    raise DataError(f"{where}: {record}")
                if split and record.get("split") not in (None, split):
                    continue
                row = _row(where, record, chosen, audio_folder or path.parent, layout)
                _check(row, needs)
                rows.append(row)
    except TableError as error:
        raise DataError(_with_path(path, error)) from None
    _refuse_repeated_ids(rows)
    if not rows:
        wanted = f" of split {split!r}" if split else ""
        raise DataError(f"{path}: has no rows{wanted}.")
    return rows


def read_videos(meacorpus: Path) -> dict[str, str]:
    """Return the video of every MEACorpus file name; EmoSPeech uses the same file names.

    Args:
        meacorpus: folder with meacorpus-2023.csv and meacorpus-2023-segments.csv, which list the
            same utterances in the same order: the former by file name, the latter by video.

    Raises:
        DataError: a file is missing, or the two don't agree.
    """
    names = _column(meacorpus / "meacorpus-2023.csv", "filename", "transcription")
    videos = _column(meacorpus / "meacorpus-2023-segments.csv", "youtube_key", "transcription")
    if [text for _, text in names] != [text for _, text in videos]:
        raise DataError(f"{meacorpus}: the two tables don't list the same transcripts in order.")
    return {name: video for (name, _), (video, _) in zip(names, videos, strict=True)}


def with_groups(rows: Iterable[Row], groups: Mapping[str, str]) -> list[Row]:
    """Return the rows, with the group that ``groups`` lists for their id, if any."""
    return [replace(row, group=groups.get(row.id, row.group)) for row in rows]


def same_utterance(one: Row, other: Row) -> bool:
    """True if two rows with the same id are the same utterance.

    An id that is a plain number is only a row number of its table: such rows must also agree in
    their text.
    """
    if one.id != other.id:
        return False
    if not one.id.isdigit() or one.text is None or other.text is None:
        return True
    return one.text.strip() == other.text.strip()


def merged(*corpora: Iterable[Row]) -> list[Row]:
    """Return the rows of several tables; of duplicate utterances, only the first."""
    result: list[Row] = []
    known: dict[str, list[Row]] = {}
    for row in (row for corpus in corpora for row in corpus):
        others = known.setdefault(row.id, [])
        if not any(same_utterance(row, other) for other in others):
            result.append(row)
            others.append(row)
    return result


def without(rows: Iterable[Row], held_out: Iterable[Row], *, groups: bool = False) -> list[Row]:
    """Return the rows whose id and text (and optionally group) are not in ``held_out``."""
    held = list(held_out)
    known = _by_id(held)
    texts = {row.text.strip() for row in held if row.text}
    seen_groups = {row.group for row in held if row.group} if groups else set()
    return [
        row
        for row in rows
        if not any(same_utterance(row, other) for other in known.get(row.id, ()))
        and (row.text is None or row.text.strip() not in texts)
        and row.group not in seen_groups
    ]


def check_disjoint(train: Iterable[Row], test: Iterable[Row]) -> None:
    """Refuse a test row that is also a training row.

    Raises:
        DataError: the first such row, by file and row.
    """
    known = _by_id(train)
    for row in test:
        for other in known.get(row.id, ()):
            if same_utterance(row, other):
                raise DataError(
                    f"{row.where}: the id {row.id!r} is also in the training rows "
                    f"({other.where}): its score would be a leak. Remove it from one of the two, "
                    "leave it out of training with --exclude, or allow it with --allow-leak."
                )


def _by_id(rows: Iterable[Row]) -> dict[str, list[Row]]:
    known: dict[str, list[Row]] = {}
    for row in rows:
        known.setdefault(row.id, []).append(row)
    return known


def _choose(columns: list[str], layout: TableFormat, *, named_like_ids: bool) -> _Columns:
    return _Columns(
        all=columns,
        id=pick_column(columns, _ID, layout.id_column),
        text=pick_column(columns, _TEXT, layout.text_column),
        audio=pick_column(columns, _AUDIO),
        group=pick_column(columns, _GROUP, layout.group_column),
        label=pick_column(columns, _LABEL, layout.label_column),
        scores=score_columns(columns, layout.label_map),
        named_like_ids=named_like_ids,
    )


def _row(
    where: str,
    record: Mapping[str, str],
    columns: _Columns,
    folder: Path,
    layout: TableFormat,
) -> Row:
    scores = read_scores(record, columns.scores, where)
    cell = record[columns.label] if columns.label else ""
    labels = None
    if layout.label_separator is None:
        label = map_label(cell, layout.label_map)
    else:
        labels = split_labels(cell, layout.label_separator, layout.label_map)
        label = layout.label_separator.join(labels) or cell.strip()
    if scores and not label:
        label = most_probable(scores)
    key = record[columns.id] if columns.id else ""
    name = record[columns.audio] if columns.audio else key if columns.named_like_ids else ""
    return Row(
        id=key or where,
        label=label,
        text=record[columns.text] if columns.text else None,
        audio=_sound_file(folder, name) if name else None,
        group=record[columns.group] if columns.group else "",
        where=where,
        scores=scores,
        labels=labels,
    )


def _sound_file(folder: Path, name: str) -> Path:
    """Return the file of that name, else the first with a known suffix, else the name itself."""
    found = (folder / f"{name}{ending}" for ending in _ENDINGS)
    return next((path for path in found if path.is_file()), folder / name)


def _check(row: Row, needs: Needs) -> None:
    if needs.label and not row.label:
        hint = "" if row.labels is None else " The separator alone is a row without labels."
        raise DataError(f"{row.where}: the label is empty.{hint}")
    if needs.text and not (row.text and row.text.strip()):
        raise DataError(f"{row.where}: the text is empty.")
    if needs.audio and row.audio is None:
        raise DataError(f"{row.where}: names no sound file (a column audio, or --audio-folder).")
    if needs.audio and row.audio is not None and not row.audio.is_file():
        raise DataError(f"{row.where}: the sound file {row.audio} is missing.")


def _refuse_repeated_ids(rows: Iterable[Row]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.id in seen:
            raise DataError(
                f"{row.where}: the id {row.id!r} is already used in {seen[row.id]}. Give every "
                "row its own, or name another column with --id-column."
            )
        seen[row.id] = row.where


def _column(path: Path, *names: str) -> list[tuple[str, ...]]:
    try:
        with open_table(path) as stream:
            columns, records = read_records(stream, names)
            if missing := [name for name in names if name not in columns]:
                raise DataError(f"{path}: {missing_column(columns, missing)}")
            result = []
            for number, record in enumerate(records, start=1):
                if isinstance(record, TableError):
                    raise DataError(f"{path}, row {number}: {record}")
                result.append(tuple(record[name] for name in names))
            return result
    except TableError as error:
        raise DataError(_with_path(path, error)) from None


def _with_path(path: Path, error: TableError) -> str:
    return str(error) if str(error).startswith(str(path)[:200]) else f"{path}: {error}"
