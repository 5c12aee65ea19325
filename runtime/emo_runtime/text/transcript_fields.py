"""Fields of segments in JSON transcripts: times, texts and speakers, whatever their names."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from emo_runtime.text.cues import RawCue
from emo_runtime.text.subtitles import parse_time

Json = Mapping[str, Any]

_DECIMAL = r"(\d+(?:\.\d*)?|\.\d+)"
_ISO_DURATION = re.compile(rf"PT(?:{_DECIMAL}H)?(?:{_DECIMAL}M)?(?:{_DECIMAL}S)?", re.IGNORECASE)
_TEXT_KEYS = (
    "pred_text",
    "text",
    "transcript",
    "sentence",
    "utterance",
    "content",
    "segment",
    "transcription",
)
_SPEAKER_KEYS = ("speaker", "speaker_label", "speakerId", "speaker_id")


def cue_of(item: Json, start: object, end: object, scale: float = 1.0) -> RawCue:
    """Return a segment as a cue; a field that cannot be read becomes its problem.

    Args:
        item: the segment, for its text, speaker and channel.
        start: its start, in seconds times ``scale``.
        end: its end, likewise.
        scale: number of the segment's units of time in a second.
    """
    problem = None
    start_s, end_s = seconds_of(start, scale), seconds_of(end, scale)
    for what, value, seconds in (("start", start, start_s), ("end", end, end_s)):
        if value is not None and seconds is None:
            problem = f"its {what} cannot be read: {str(value)[:40]!r}"
    text = first_of(item, _TEXT_KEYS)
    if not isinstance(text, str):
        problem = problem or ("it has no text" if text is None else "its text is not a string")
        text = ""
    channel = item.get("channel")
    if isinstance(channel, bool) or not isinstance(channel, int) or channel < 0:
        channel = None
    return RawCue(start_s, end_s, text, speaker_of(item), channel, problem)


def speaker_of(item: Json) -> str | None:
    """Return the speaker of a segment."""
    return label_of(first_of(item, _SPEAKER_KEYS))


def label_of(speaker: object) -> str | None:
    """Return the label of a speaker; None if it is empty or unknown."""
    name = "" if speaker is None else str(speaker).strip()
    return None if name in {"", "?"} else name


def seconds_of(value: object, scale: float = 1.0) -> float | None:
    """Return seconds from a number or from text such as ``3.86``, ``0:03.86``, ``PT3.86S``."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value) / scale
        except OverflowError:
            return None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if match := _ISO_DURATION.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds
    seconds_ = parse_time(text.removesuffix("s"))
    if seconds_ is None or ":" in text:
        return seconds_
    return seconds_ / scale


def end_of(start_s: float | None, length_s: float | None) -> float | None:
    """Return the end of a segment with a duration; None if either is unknown."""
    return None if start_s is None or length_s is None else start_s + length_s


def first_of(segment: Json, keys: Iterable[str]) -> object:
    """Return the first value that is not null of some keys."""
    return next((segment[key] for key in keys if segment.get(key) is not None), None)


def list_of(value: object) -> list[Any]:
    """Return a value if it is an array, else an empty list."""
    return value if isinstance(value, list) else []


def objects(value: object) -> Iterator[Json]:
    """Yield the objects of a value that should be an array of them."""
    yield from (item for item in list_of(value) if isinstance(item, dict))


def json_type(value: object) -> str:
    """Return the name of a decoded value's type in JSON."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
