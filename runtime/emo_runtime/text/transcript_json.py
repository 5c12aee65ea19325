"""Timed transcripts in the JSON of speech recognizers and cloud services."""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from emo_runtime.errors import TextError
from emo_runtime.text.cues import MAX_ROUNDING_S, RawCue
from emo_runtime.text.subtitles import parse_time

Json = Mapping[str, Any]

_DECIMAL = r"(\d+(?:\.\d*)?|\.\d+)"
_ISO_DURATION = re.compile(rf"PT(?:{_DECIMAL}H)?(?:{_DECIMAL}M)?(?:{_DECIMAL}S)?", re.IGNORECASE)
_TICKS_PER_S = 10_000_000
_PAUSE_S = 1.0
_TEXT_KEYS = ("text", "transcript", "sentence", "utterance", "content")


def parse_json(content: str, name: str) -> list[RawCue]:
    """Read the cues of a JSON transcript; the layout is recognized by its keys.

    Raises:
        TextError: not JSON, or an unknown layout; the message names the keys that were found.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise TextError(f"{name}: not valid JSON: {str(error)[:200]}.") from None
    reader = _layout(document)
    if reader is None:
        raise TextError(
            f"{name}: unknown layout of a transcript ({_found(document)}). Supported: "
            "WhisperX, Whisper, faster-whisper, whisper.cpp, Hugging Face pipelines, OpenAI, "
            "Deepgram, AssemblyAI, AWS Transcribe, Google and Azure."
        )
    return [_checked(cue) for cue in reader(document)]


def parse_json_lines(content: str, name: str) -> list[RawCue]:
    """Read one segment per line: an object with ``start``, ``end`` and ``text``."""
    segments = []
    for number, line in enumerate(io.StringIO(content, newline=""), start=1):
        if line.strip():
            try:
                segments.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise TextError(
                    f"{name}, line {number}: not valid JSON: {str(error)[:200]}."
                ) from None
    if len(segments) == 1 and _layout(segments[0]) is not None:
        return parse_json(content, name)
    return [_checked(cue) for cue in _segments(segments)]


def _layout(document: Any) -> Callable[[Any], Iterable[RawCue]] | None:
    """Return the reader of a document's layout."""
    if isinstance(document, list):
        known = all(isinstance(item, dict) for item in document) and (
            not document or any("start" in item or "timestamp" in item for item in document)
        )
        return _segments if known else None
    if not isinstance(document, dict):
        return None
    for key, reader in _LAYOUTS.items():
        place: Any = document
        for part in key.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, list):
            return reader
    return None


def _found(document: Any) -> str:
    if isinstance(document, dict):
        keys = ", ".join(repr(str(key)[:30]) for key in list(document)[:12])
        return f"keys found: {keys or 'none'}"
    return f"a JSON {_json_type(document)}"


def _json_type(value: object) -> str:
    """Return the name of a decoded value's type in JSON."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _segments(segments: Sequence[Any]) -> Iterator[RawCue]:
    """Whisper and compatible layouts: start, end, text, speaker; in seconds."""
    for segment in segments:
        if not isinstance(segment, dict):
            yield RawCue(None, None, "", problem=f"a JSON {_json_type(segment)}, not an object")
            continue
        start, end = segment.get("start"), segment.get("end")
        pair = segment.get("timestamp")
        if start is None and isinstance(pair, list) and len(pair) == 2:
            start, end = pair
        yield _cue(segment, start, end)


def _whisper_cpp(segments: Sequence[Any]) -> Iterator[RawCue]:
    """whisper.cpp: offsets in milliseconds, or timestamps as text."""
    for segment in segments:
        if not isinstance(segment, dict):
            yield RawCue(None, None, "", problem=f"a JSON {_json_type(segment)}, not an object")
            continue
        times, scale = segment.get("offsets"), 1000.0
        if not isinstance(times, dict):
            times, scale = segment.get("timestamps"), 1.0
        if not isinstance(times, dict):
            times = {}
        yield _cue(segment, times.get("from"), times.get("to"), scale)


def _milliseconds(utterances: Sequence[Any]) -> Iterator[RawCue]:
    """AssemblyAI: start and end in milliseconds."""
    for item in _objects(utterances):
        yield _cue(item, item.get("start"), item.get("end"), 1000.0)


def _aws_segments(segments: Sequence[Any]) -> Iterator[RawCue]:
    for item in _objects(segments):
        yield _cue(item, item.get("start_time"), item.get("end_time"))


def _aws_items(items: Sequence[Any]) -> Iterator[RawCue]:
    """AWS Transcribe without segments: words, grouped by speaker, sentence end and pause."""
    words: list[_Word] = []
    for item in _objects(items):
        best = next(iter(_objects(item.get("alternatives"))), {})
        text = str(best.get("content", ""))
        if item.get("type") == "punctuation" and words:
            words[-1] = words[-1].followed_by(text)
        else:
            start, end = _seconds(item.get("start_time")), _seconds(item.get("end_time"))
            words.append(_Word(text, start, end, _label(item.get("speaker_label"))))
    return _sentences(words)


def _deepgram_channels(channels: Sequence[Any]) -> Iterator[RawCue]:
    """Deepgram: sentences of paragraphs, or words, of every channel."""
    several = len(channels) > 1
    for number, channel in enumerate(_objects(channels)):
        best = next(iter(_objects(channel.get("alternatives"))), {})
        place = number if several else None
        paragraphs = best.get("paragraphs")
        groups = paragraphs.get("paragraphs") if isinstance(paragraphs, dict) else None
        if isinstance(groups, list):
            for group in _objects(groups):
                for item in _objects(group.get("sentences")):
                    yield _cue(
                        {"speaker": group.get("speaker"), **item, "channel": place},
                        item.get("start"),
                        item.get("end"),
                    )
            continue
        words = [
            _Word(
                str(item.get("punctuated_word") or item.get("word") or ""),
                _seconds(item.get("start")),
                _seconds(item.get("end")),
                _label(item.get("speaker")),
            )
            for item in _objects(best.get("words"))
        ]
        for cue in _sentences(words):
            yield RawCue(cue.start_s, cue.end_s, cue.text, cue.speaker, place)


def _google(results: Sequence[Any]) -> Iterator[RawCue]:
    """Google Speech-to-Text: one result per phrase, with words that have times."""
    for result in _objects(results):
        best = next(iter(_objects(result.get("alternatives"))), {})
        words = [
            _Word(
                str(item.get("word", "")),
                _seconds(item.get("startTime", item.get("startOffset", item.get("start_time", 0)))),
                _seconds(item.get("endTime", item.get("endOffset", item.get("end_time")))),
                _label(item.get("speakerLabel") or item.get("speakerTag") or None),
            )
            for item in _objects(best.get("words"))
        ]
        tag = result.get("channelTag")
        channel = tag - 1 if isinstance(tag, int) and tag > 0 else None
        if len({word.speaker for word in words}) > 1:
            for cue in _sentences(words):
                yield RawCue(cue.start_s, cue.end_s, cue.text, cue.speaker, channel)
            continue
        start = words[0].start_s if words else None
        end = words[-1].end_s if words else _seconds(result.get("resultEndTime"))
        speaker = words[0].speaker if words else None
        text = str(best.get("transcript") or " ".join(word.text for word in words))
        if text.strip():
            yield RawCue(start, end, text, speaker, channel)


def _azure(phrases: Sequence[Any]) -> Iterator[RawCue]:
    """Azure batch and fast transcription: offset and duration in ticks, ISO 8601 or ms."""
    for item in _objects(phrases):
        if "offsetMilliseconds" in item:
            start = _seconds(item["offsetMilliseconds"], 1000.0)
            length = _seconds(item.get("durationMilliseconds"), 1000.0)
        elif "offsetInTicks" in item:
            start = _seconds(item["offsetInTicks"], _TICKS_PER_S)
            length = _seconds(item.get("durationInTicks"), _TICKS_PER_S)
        else:
            start, length = _seconds(item.get("offset")), _seconds(item.get("duration"))
        best = next(iter(_objects(item.get("nBest"))), {})
        text = item.get("text") or best.get("display") or best.get("lexical")
        end = None if start is None or length is None else start + length
        yield _cue({**item, "text": text}, start, end)


_LAYOUTS: dict[str, Callable[[Any], Iterable[RawCue]]] = {
    "segments": lambda document: _segments(document["segments"]),
    "transcription": lambda document: _whisper_cpp(document["transcription"]),
    "chunks": lambda document: _segments(document["chunks"]),
    "results.utterances": lambda document: _segments(document["results"]["utterances"]),
    "results.channels": lambda document: _deepgram_channels(document["results"]["channels"]),
    "results.audio_segments": lambda document: _aws_segments(document["results"]["audio_segments"]),
    "results.items": lambda document: _aws_items(document["results"]["items"]),
    "results": lambda document: _google(document["results"]),
    "recognizedPhrases": lambda document: _azure(document["recognizedPhrases"]),
    "phrases": lambda document: _azure(document["phrases"]),
    "utterances": lambda document: _milliseconds(document["utterances"]),
}


class _Word:
    """A word with its times, for layouts that have no segments."""

    def __init__(
        self, text: str, start_s: float | None, end_s: float | None, speaker: str | None
    ) -> None:
        self.text = text
        self.start_s = start_s
        self.end_s = end_s
        self.speaker = speaker

    def followed_by(self, mark: str) -> "_Word":
        return _Word(self.text + mark, self.start_s, self.end_s, self.speaker)


def _sentences(words: Sequence[_Word]) -> Iterator[RawCue]:
    """Group words into cues: a change of speaker, the end of a sentence or a pause ends one."""
    number = 0
    numbers = []
    for place, word in enumerate(words):
        before = words[place - 1] if place else None
        if before is not None and (
            before.speaker != word.speaker
            or before.text.endswith((".", "?", "!", "…"))
            or (
                before.end_s is not None
                and word.start_s is not None
                and word.start_s - before.end_s > _PAUSE_S
            )
        ):
            number += 1
        numbers.append(number)
    for _, group in groupby(zip(numbers, words, strict=True), key=lambda pair: pair[0]):
        found = [word for _, word in group]
        starts = [word.start_s for word in found if word.start_s is not None]
        ends = [word.end_s for word in found if word.end_s is not None]
        yield RawCue(
            starts[0] if starts else None,
            ends[-1] if ends else None,
            " ".join(word.text for word in found),
            found[0].speaker,
        )


def _cue(item: Json, start: object, end: object, scale: float = 1.0) -> RawCue:
    problem = None
    start_s, end_s = _seconds(start, scale), _seconds(end, scale)
    for what, value, seconds in (("start", start, start_s), ("end", end, end_s)):
        if value is not None and seconds is None:
            problem = f"its {what} cannot be read: {str(value)[:40]!r}"
    text = next((item[key] for key in _TEXT_KEYS if item.get(key) is not None), None)
    if not isinstance(text, str):
        problem = problem or ("it has no text" if text is None else "its text is not a string")
        text = ""
    channel = item.get("channel")
    if isinstance(channel, bool) or not isinstance(channel, int) or channel < 0:
        channel = None
    return RawCue(start_s, end_s, text, _label(_speaker(item)), channel, problem)


def _speaker(item: Json) -> object:
    for key in ("speaker", "speaker_label", "speakerId", "speaker_id"):
        if item.get(key) is not None:
            return item[key]
    return None


def _label(speaker: object) -> str | None:
    name = "" if speaker is None else str(speaker).strip()
    return None if name in {"", "?"} else name


def _seconds(value: object, scale: float = 1.0) -> float | None:
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


def _objects(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _checked(cue: RawCue) -> RawCue:
    """Treat an end that rounding puts before the start as missing."""
    start, end = cue.start_s, cue.end_s
    if start is not None and end is not None and start - MAX_ROUNDING_S <= end < start:
        return RawCue(start, None, cue.text, cue.speaker, cue.channel, cue.problem)
    return cue
