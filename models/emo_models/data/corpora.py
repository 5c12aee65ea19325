"""Readers of labelled speech corpora: one kind of row, whatever the file's columns are called."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emo_models.errors import DataError
from emo_models.labels import LABELS, label_index

_ID = ("id", "filename", "file", "audio")
_TEXT = ("text", "transcription", "transcript")
_AUDIO = ("audio", "file", "path")
_GROUP = ("group", "speaker", "youtube_key", "video")


@dataclass(frozen=True)
class Row:
    """One labelled utterance.

    ``group`` is what must not stand in two splits (a video or a speaker; empty where unknown),
    ``where`` names file and row for messages.
    """

    id: str
    label: int
    text: str | None
    audio: Path | None
    group: str
    where: str


def read_csv(
    path: Path,
    *,
    split: str | None = None,
    audio_folder: Path | None = None,
    need_text: bool = False,
    need_audio: bool = False,
) -> list[Row]:
    """Rows of any of the corpora, or of a table of one's own.

    Known columns: ``label``; ``text`` / ``transcription`` / ``transcript``; ``audio`` / ``file`` /
    ``path`` (relative to the table's folder or to ``audio_folder``); ``id`` / ``filename``;
    ``group`` / ``speaker`` / ``youtube_key`` / ``video``; ``split``. With ``audio_folder`` and no
    audio column (EmoSPeech) the audio is the file in there that is named like the id.

    Args:
        path: a CSV file, UTF-8, with a header.
        split: where the table has a ``split`` column, only rows of that split are read.
        audio_folder: folder of the sound files.
        need_text: a row without text is an error.
        need_audio: a row without an existing sound file is an error.

    Raises:
        DataError: no such file, missing column, unknown label, empty text, missing audio, an id
            twice; with file and row.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = tuple(reader.fieldnames or ())
            records = list(enumerate(reader, start=1))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if "label" not in columns:
        raise DataError(f"{path}: has no column 'label' (columns: {', '.join(columns)}).")
    if need_text and _pick(columns, _TEXT) is None:
        raise DataError(f"{path}: has no column {' or '.join(map(repr, _TEXT))}.")
    rows = []
    seen: dict[str, str] = {}
    for number, record in records:
        if split and record.get("split") not in (None, split):
            continue
        row = _row(path, number, record, columns, audio_folder)
        _check(row, need_text=need_text, need_audio=need_audio)
        if row.id in seen:
            raise DataError(f"{row.where}: the id {row.id!r} stands already in {seen[row.id]}.")
        seen[row.id] = row.where
        rows.append(row)
    if not rows:
        wanted = f" of split {split!r}" if split else ""
        raise DataError(f"{path}: has no rows{wanted}.")
    return rows


def read_videos(meacorpus: Path) -> dict[str, str]:
    """The video of every MEACorpus file name, also for EmoSPeech, which has the same names.

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
    """Rows with the group that ``groups`` has for their id, where it has one."""
    return [replace(row, group=groups.get(row.id, row.group)) for row in rows]


def merged(*corpora: Iterable[Row]) -> list[Row]:
    """Rows of several tables, an id that stands in more than one taken once (the first)."""
    return list(
        {row.id: row for rows in reversed(corpora) for row in reversed(list(rows))}.values()
    )[::-1]


def without(rows: Iterable[Row], held_out: Iterable[Row], *, groups: bool = False) -> list[Row]:
    """Rows that don't stand in ``held_out``, neither by id nor by text (nor, asked, by group)."""
    held = list(held_out)
    ids = {row.id for row in held}
    texts = {row.text.strip() for row in held if row.text}
    seen_groups = {row.group for row in held if row.group} if groups else set()
    return [
        row
        for row in rows
        if row.id not in ids
        and (row.text is None or row.text.strip() not in texts)
        and row.group not in seen_groups
    ]


def check_disjoint(train: Iterable[Row], test: Iterable[Row]) -> None:
    """Refuse a leak: an id that stands in both splits.

    Raises:
        DataError: the first such row, by file and row.
    """
    known = {row.id: row.where for row in train}
    for row in test:
        if row.id in known:
            raise DataError(
                f"{row.where}: the id {row.id!r} stands in the training rows too "
                f"({known[row.id]}): its score would be a leak. Remove it from either, or allow it "
                "with --allow-leak."
            )


def _row(
    path: Path,
    number: int,
    record: Mapping[str, str | None],
    columns: tuple[str, ...],
    audio_folder: Path | None,
) -> Row:
    where = f"{path}, row {number}"
    if None in record or None in record.values():
        raise DataError(f"{where}: has not the {len(columns)} fields that the header names.")
    values = {name: value or "" for name, value in record.items()}
    id_column, text_column = _pick(columns, _ID), _pick(columns, _TEXT)
    group_column = _pick(columns, _GROUP)
    key = values[id_column] if id_column else str(number)
    return Row(
        id=key,
        label=label_index(values["label"], LABELS, where=where),
        text=values[text_column] if text_column else None,
        audio=_audio(path, values, columns, key, audio_folder),
        group=values[group_column] if group_column else "",
        where=where,
    )


def _audio(
    path: Path,
    values: Mapping[str, str],
    columns: tuple[str, ...],
    key: str,
    audio_folder: Path | None,
) -> Path | None:
    column = _pick(columns, _AUDIO)
    name = values[column] if column else key if audio_folder else ""
    return (audio_folder or path.parent) / name if name else None


def _check(row: Row, *, need_text: bool, need_audio: bool) -> None:
    if need_text and not (row.text and row.text.strip()):
        raise DataError(f"{row.where}: the text is empty.")
    if need_audio and row.audio is None:
        raise DataError(f"{row.where}: names no sound file (a column audio, or --audio-folder).")
    if need_audio and row.audio is not None and not row.audio.is_file():
        raise DataError(f"{row.where}: the sound file {row.audio} is missing.")


def _pick(columns: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in columns), None)


def _column(path: Path, *names: str) -> list[tuple[str, ...]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [tuple(record[name] for name in names) for record in csv.DictReader(stream)]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except KeyError as error:
        raise DataError(f"{path}: has no column {error}.") from None
