"""Timed transcripts as cues: subtitles, JSON of speech recognizers, and tables."""

import math
import numbers
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from emo_runtime.arguments import check_count
from emo_runtime.errors import ArgumentError, TextError
from emo_runtime.tables import TableError, decode_text, detect_encoding
from emo_runtime.text.cues import Cue, RawCue, resolve_times, with_channel
from emo_runtime.text.markup import Markup, clean_cues
from emo_runtime.text.subtitles import parse_subtitles
from emo_runtime.text.transcript_json import parse_json, parse_json_lines

__all__ = [
    "Cue",
    "CueSource",
    "Markup",
    "as_cues",
    "decode_transcript",
    "parse_transcript",
    "read_transcript",
]

CueSource = str | os.PathLike[str] | Iterable[Cue | Mapping[str, Any]]
MAX_TRANSCRIPT_BYTES = 64 << 20
_MAX_CHANNEL = 255
_JSON = re.compile(r"[\[{]\s*[\[{\"\]}]")
_FORMATS = ".vtt, .srt, .sbv, .json, .jsonl or .tsv"


def read_transcript(
    path: str | os.PathLike[str],
    channel: int | None = None,
    *,
    encoding: str | None = None,
    markup: Markup = Markup(),  # noqa: B008  (immutable)
) -> list[Cue]:
    """Read a transcript file with times, in its order.

    Formats: WebVTT, SubRip, JSON (WhisperX, Whisper, whisper.cpp, Hugging Face, OpenAI, Deepgram,
    AssemblyAI, Speechmatics, AWS Transcribe, Amazon Connect, Google, Azure), JSON Lines, and
    Whisper's TSV. A cue with invalid times is returned with ``Cue.problem``; no cue is skipped.

    Args:
        path: the file.
        channel: the recording's channel that the transcript belongs to; None: as named in the file.
        encoding: the file's encoding; None: detected.
        markup: what to keep of markup, sound descriptions and speaker prefixes.

    Raises:
        TextError: the file cannot be read, or its layout is not known.
        ArgumentError: the channel or the markup has a wrong type or value.
    """
    name = _path(path)
    if channel is not None:
        channel = check_count("channel", channel, low=0, high=_MAX_CHANNEL)
    if not isinstance(markup, Markup):
        raise ArgumentError(
            f"markup is of type {type(markup).__name__:.40}. Give a Markup of "
            "emo_runtime.text.transcripts."
        )
    try:
        if name.stat().st_size > MAX_TRANSCRIPT_BYTES:
            raise TextError(f"{name}: larger than {MAX_TRANSCRIPT_BYTES:,} bytes: split it.")
        data = name.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TextError(f"{str(name)[:200]}: cannot be read: {reason}. Check the path.") from None
    return decode_transcript(
        data, name.suffix, str(name), channel, encoding=encoding, markup=markup
    )


def decode_transcript(
    data: bytes,
    suffix: str,
    name: str,
    channel: int | None = None,
    *,
    encoding: str | None = None,
    markup: Markup = Markup(),  # noqa: B008  (immutable)
) -> list[Cue]:
    """Read the cues of a transcript's bytes; ``suffix`` names its format, ``name`` is for messages.

    Raises:
        TextError: as ``read_transcript``.
    """
    if encoding is None and suffix.lower() in {".json", ".jsonl"}:
        content = _decode_json(data)
    else:
        try:
            content = decode_text(data, encoding)
        except TableError as error:
            raise TextError(f"{name}: {error}") from None
    return parse_transcript(content, suffix, name, channel, markup)


def parse_transcript(
    content: str,
    suffix: str,
    name: str,
    channel: int | None = None,
    markup: Markup = Markup(),  # noqa: B008  (immutable)
) -> list[Cue]:
    """Read the cues of a transcript's text; ``suffix`` names its format, ``name`` is for messages.

    Raises:
        TextError: as ``read_transcript``.
    """
    reader = _READERS.get(suffix.lower()) or _guess(content)
    if reader is None:
        raise TextError(f"{name}: give a transcript with times as {_FORMATS}.")
    return with_channel(resolve_times(clean_cues(reader(content, name), markup)), channel)


def as_cues(source: object) -> Iterator[Cue]:
    """Yield cues from a path, or from an iterable of ``Cue`` or of dictionaries of its fields.

    A dictionary may have ``start``/``end`` in place of ``start_s``/``end_s``.

    Raises:
        TextError: the source is neither.
    """
    if isinstance(source, str | os.PathLike):
        yield from read_transcript(source)
        return
    if not isinstance(source, Iterable) or isinstance(source, bytes | bytearray | Mapping):
        raise TextError(
            f"cues: a {type(source).__name__}. Give the path of a transcript, or an iterable of "
            "Cue or of dictionaries with start_s, end_s and text."
        )
    for number, item in enumerate(source):
        yield _checked(item, number)


def _checked(item: object, number: int) -> Cue:
    """Return a cue with fields of the right types; unusable times become its problem."""
    if not isinstance(item, Cue | Mapping):
        raise TextError(
            f"cue {number}: a {type(item).__name__}. Give a Cue, or a dictionary with start_s, "
            "end_s and text."
        )
    fields: Mapping[str, Any] = vars(item) if isinstance(item, Cue) else item
    start = _seconds(fields.get("start_s", fields.get("start")))
    end = _seconds(fields.get("end_s", fields.get("end")))
    text, speaker, channel = fields.get("text", ""), fields.get("speaker"), fields.get("channel")
    if start is None or end is None or not isinstance(text, str):
        found = ", ".join(f"{str(k)[:30]!r} {type(v).__name__:.30}" for k, v in fields.items())
        raise TextError(
            f"cue {number}: needs the numbers start_s and end_s (seconds) and the string text "
            f"(found: {found})."
        )
    if channel is not None:
        if isinstance(channel, bool) or not isinstance(channel, numbers.Integral):
            raise TextError(
                f"cue {number}: channel is a {type(channel).__name__}: give an integer."
            )
        channel = int(channel)
    name = None if speaker is None else str(speaker)
    problem = item.problem if isinstance(item, Cue) else None
    adjusted = item.adjusted if isinstance(item, Cue) else None
    if 0 <= start <= end and math.isfinite(start):
        return Cue(start, end, text, name, channel, problem, adjusted)
    return resolve_times([RawCue(start, end, text, name, channel, problem)])[0]


def _seconds(value: object) -> float | None:
    """Return a number as a float, infinite if it is too large; None if it is not a number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _path(path: object) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]
    except TypeError:
        raise TextError(
            f"transcript: a {type(path).__name__}. Give the path of a file ({_FORMATS})."
        ) from None


def _decode_json(data: bytes) -> str:
    """Decode JSON; damaged letters are replaced (whisper.cpp splits them between tokens)."""
    try:
        return decode_text(data, "utf-8-sig")
    except TableError:
        if data[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in data[:4]:
            return decode_text(data)
        if (encoding := detect_encoding(data)) == "cp1252":
            return decode_text(data, encoding)
        return data.decode("utf-8-sig", "replace")


def _subtitles(content: str, name: str) -> list[RawCue]:
    cues = parse_subtitles(content)
    if not cues and content.strip() and not content.lstrip("\ufeff").startswith("WEBVTT"):
        raise TextError(f"{name}: no cue found: no line has times such as 00:00.0 --> 00:01.5.")
    return cues


def _tsv(content: str, name: str) -> list[RawCue]:
    """Whisper's TSV: start, end and text, without quoting.

    Times are milliseconds, or seconds if any of them has a fraction.
    """
    lines = [line for line in re.split(r"\r\n|\r|\n", content) if line.strip()]
    columns = [column.strip() for column in lines[0].split("\t")] if lines else []
    if not {"start", "end", "text"} <= set(columns):
        raise TextError(
            f"{name}: the header needs start, end (milliseconds) and text (columns found: "
            f"{', '.join(repr(column[:30]) for column in columns)})."
        )
    rows = [
        dict(zip_longest(columns, line.split("\t", len(columns) - 1), fillvalue=None))
        for line in lines[1:]
    ]
    in_seconds = any("." in (row[key] or "") for row in rows for key in ("start", "end"))
    cues = []
    for row in rows:
        start, end = (_number(row[key], 1 if in_seconds else 1000) for key in ("start", "end"))
        problem = None if start is not None else "its start cannot be read"
        if None in row.values():
            problem = f"its row has fewer fields than the {len(columns)} of the header"
        speaker = row.get("speaker") or None
        cues.append(RawCue(start, end, row["text"] or "", speaker, problem=problem))
    return cues


def _number(value: str | None, scale: int) -> float | None:
    try:
        return float(value or "") / scale
    except ValueError:
        return None


def _guess(content: str) -> Callable[[str, str], list[RawCue]] | None:
    """Return the reader for a file with an unknown suffix, by its first characters."""
    start = content.lstrip("\ufeff \t\r\n")
    if start.startswith("WEBVTT") or "-->" in content:
        return _subtitles
    if _JSON.match(start):
        return parse_json
    return None


_READERS: dict[str, Callable[[str, str], list[RawCue]]] = {
    ".vtt": _subtitles,
    ".srt": _subtitles,
    ".sbv": _subtitles,
    ".json": parse_json,
    ".jsonl": parse_json_lines,
    ".ndjson": parse_json_lines,
    ".tsv": _tsv,
}
