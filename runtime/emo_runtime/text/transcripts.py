"""Timed transcripts as cues: WebVTT, SubRip, and the JSON of WhisperX and whisper.cpp."""

import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_runtime.errors import MissingExtraError, TextError

MAX_TRANSCRIPT_BYTES = 64 << 20


@dataclass(frozen=True)
class Cue:
    """Words said from ``start_s`` to ``end_s`` of a recording.

    ``channel`` (from 0) is the recording's channel to listen to; None: the mean of all of them.
    """

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    channel: int | None = None


def read_transcript(path: str | os.PathLike[str], channel: int | None = None) -> list[Cue]:
    """The cues of a ``.vtt``, ``.srt`` or ``.json`` file, in its order; all of one ``channel``.

    Raises TextError where the file can't be read, and MissingExtraError where subtitles want the
    package webvtt-py.
    """
    name = Path(path)
    try:
        if name.stat().st_size > MAX_TRANSCRIPT_BYTES:
            raise TextError(f"{name}: larger than {MAX_TRANSCRIPT_BYTES:,} bytes: cut it.")
        content = name.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{name}: not UTF-8 ({error.reason}): save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TextError(f"{name}: can't be read: {reason}. Check the path.") from None
    return parse_transcript(content, name.suffix, str(name), channel)


def parse_transcript(content: str, suffix: str, name: str, channel: int | None = None) -> list[Cue]:
    """The cues of a transcript's text; ``suffix`` names its format, ``name`` is for messages.

    Raises as ``read_transcript`` does.
    """
    readers = {".json": _from_json, ".vtt": _from_vtt, ".srt": _from_srt}
    reader = readers.get(suffix.lower())
    if reader is None:
        raise TextError(f"{name}: give a transcript as .vtt, .srt or .json.")
    cues = [_with_channel(cue, channel) for cue in reader(content, name)]
    for number, cue in enumerate(cues):
        if not 0 <= cue.start_s <= cue.end_s < math.inf:
            raise TextError(
                f"{name}: cue {number} runs from {cue.start_s} s to {cue.end_s} s: mend its times."
            )
    return cues


def _with_channel(cue: Cue, channel: int | None) -> Cue:
    return Cue(cue.start_s, cue.end_s, cue.text, cue.speaker, channel)


def _from_vtt(content: str, name: str) -> list[Cue]:
    return _from_subtitles(content, name, "vtt")


def _from_srt(content: str, name: str) -> list[Cue]:
    return _from_subtitles(content, name, "srt")


def _from_subtitles(content: str, name: str, kind: str) -> list[Cue]:
    try:
        import webvtt  # noqa: PLC0415  (an extra)
    except ImportError:
        raise MissingExtraError(
            f'{name}: subtitles need webvtt-py: pip install "emo-runtime[subtitles]"'
        ) from None
    try:
        captions = webvtt.from_buffer(io.StringIO(content), format=kind)
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError) as error:
        raise TextError(f"{name}: not a {kind.upper()} file: {error}.") from None
    return [
        Cue(
            _seconds(caption.start_time),
            _seconds(caption.end_time),
            " ".join(caption.text.split()),
            caption.voice or None,
        )
        for caption in captions
    ]


def _seconds(timestamp: Any) -> float:
    hours, minutes, seconds, milliseconds = timestamp.to_tuple()
    return float((hours * 60 + minutes) * 60 + seconds + milliseconds / 1000)


def _from_json(content: str, name: str) -> list[Cue]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{name}: not valid JSON: {error}.") from None
    if isinstance(document, dict):
        for key, read in (("segments", _whisperx_segment), ("transcription", _whisper_cpp_segment)):
            if isinstance(segments := document.get(key), list):
                return [
                    _segment(read, segment, f"{name}: {key}[{number}]")
                    for number, segment in enumerate(segments)
                ]
    raise TextError(
        f"{name}: neither WhisperX's JSON ('segments') nor whisper.cpp's ('transcription')."
    )


def _segment(read: Any, segment: Any, where: str) -> Cue:
    try:
        if not isinstance(segment, dict):
            raise TypeError(f"a {type(segment).__name__}, expected an object")
        cue: Cue = read(segment)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TextError(f"{where}: {type(error).__name__}: {error}: no segment.") from None
    return cue


def _whisperx_segment(segment: dict[str, Any]) -> Cue:
    speaker = segment.get("speaker")
    text = _text(segment["text"])
    return Cue(float(segment["start"]), float(segment["end"]), text, _name(speaker))


def _whisper_cpp_segment(segment: dict[str, Any]) -> Cue:
    offsets = segment["offsets"]  # milliseconds
    start_s, end_s = float(offsets["from"]) / 1000, float(offsets["to"]) / 1000
    return Cue(start_s, end_s, _text(segment["text"]), _name(segment.get("speaker")))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("'text' is no string")
    return value.strip()


def _name(speaker: object) -> str | None:
    return None if speaker is None else str(speaker)
