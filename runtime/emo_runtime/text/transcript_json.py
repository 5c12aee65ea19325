"""Timed transcripts in the JSON of speech recognizers and cloud services."""

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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
_START_KEYS = ("start", "start_s", "start_time", "startTime", "begin", "from", "offset")
_END_KEYS = ("end", "end_s", "end_time", "endTime", "stop", "to")
_TIME_KEYS = {*_START_KEYS, "timestamp", "start_ms"}
# Keys under which services and scripts put the document of a recognizer.
_WRAPPERS = ("result", "results", "response", "output", "data", "transcript", "transcription",
             "cues", "items")  # fmt: skip
_MAX_WRAPPERS = 3
_TEXT_KEYS = ("text", "transcript", "sentence", "utterance", "content")


def parse_json(content: str, name: str) -> list[RawCue]:
    """Read the cues of a JSON transcript; the layout is recognized by its keys.

    Raises:
        TextError: not JSON, or an unknown layout; the message names the keys that were found.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return parse_json_lines(content, name)
        raise TextError(f"{name}: not valid JSON: {str(error)[:200]}.") from None
    reader = _layout(document)
    if reader is None:
        raise TextError(
            f"{name}: unknown layout of a transcript ({_found(document)}). Supported: "
            "WhisperX, Whisper, faster-whisper, whisper.cpp, Hugging Face pipelines, OpenAI, "
            "Deepgram, AssemblyAI, AWS Transcribe, Google and Azure."
        )
    cues = [_checked(cue) for cue in reader(document)]
    if not cues and not _is_empty(document):
        raise TextError(f"{name}: no cue found in the layout of this file ({_found(document)}).")
    return cues


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


def _layout(document: Any, depth: int = 0) -> Callable[[Any], Iterable[RawCue]] | None:
    """Return the reader of a document's layout."""
    if isinstance(document, list):
        if len(document) == 2 and isinstance(document[0], list):
            return _inside(0, document, depth)  # faster-whisper's pair of segments and information
        objects = [item for item in document if isinstance(item, dict)]
        if any("RecognitionStatus" in item for item in objects):
            return _azure_results
        known = len(objects) == len(document) and (
            not document or any(not _TIME_KEYS.isdisjoint(item) for item in objects)
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
    return next((found for key in _WRAPPERS if (found := _inside(key, document, depth))), None)


def _inside(key: Any, document: Any, depth: int) -> Callable[[Any], Iterable[RawCue]] | None:
    """Return the reader of a part of a document, if that has a known layout."""
    try:
        inner = document[key]
    except (KeyError, IndexError):
        return None
    if depth == _MAX_WRAPPERS or not inner or not isinstance(inner, list | dict):
        return None
    reader = _layout(inner, depth + 1)
    return None if reader is None else lambda whole: reader(whole[key])


def _is_empty(document: Any, depth: int = 0) -> bool:
    """True if no list of a document has an entry: a transcript without speech."""
    if isinstance(document, dict):
        inner = document.values()
        return depth <= _MAX_WRAPPERS and all(_is_empty(value, depth + 1) for value in inner)
    return not document if isinstance(document, list) else True


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
        if not {"start_ms", "end_ms"}.isdisjoint(segment):
            yield _cue(segment, segment.get("start_ms"), segment.get("end_ms"), 1000.0)
            continue
        start, end = _first(segment, _START_KEYS), _first(segment, _END_KEYS)
        pair = segment.get("timestamp")
        if start is None and isinstance(pair, list) and len(pair) == 2:
            start, end = pair
        begin_s, length_s = _seconds(start), _seconds(segment.get("duration"))
        if end is None and begin_s is not None and length_s is not None:
            end = begin_s + length_s
        yield _cue(segment, start, end)


def _first(segment: Json, keys: Iterable[str]) -> object:
    return next((segment[key] for key in keys if segment.get(key) is not None), None)


def _words(words: Sequence[Any]) -> Iterator[RawCue]:
    """Words without segments: OpenAI's in seconds, AssemblyAI's in milliseconds."""
    found = []
    for item in _objects(words):
        scale = 1.0 if "word" in item else 1000.0
        start, end = _seconds(item.get("start"), scale), _seconds(item.get("end"), scale)
        text = str(item.get("word", item.get("text", ""))).strip()
        found.append(_Word(text, start, end, _label(_speaker(item))))
    return _sentences(found)


def _azure_results(results: Sequence[Any]) -> Iterator[RawCue]:
    """Azure's recognition results, in the order of the recognizer: times in ticks."""
    for item in _objects(results):
        best = next(iter(_objects(item.get("NBest"))), {})
        text = item.get("DisplayText") or best.get("Display") or ""
        if item.get("RecognitionStatus") == "Success" or text:
            start = _seconds(item.get("Offset"), _TICKS_PER_S)
            length = _seconds(item.get("Duration"), _TICKS_PER_S)
            end = None if start is None or length is None else start + length
            yield _cue({**item, "text": text}, start, end)


def _contact_lens(turns: Sequence[Any]) -> Iterator[RawCue]:
    """Amazon Connect Contact Lens: turns of participants, in milliseconds."""
    for item in _objects(turns):
        fields = {"text": item.get("Content"), "speaker": item.get("ParticipantId")}
        yield _cue(fields, item.get("BeginOffsetMillis"), item.get("EndOffsetMillis"), 1000.0)


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


def _aws_results(results: Json) -> Iterator[RawCue]:
    """AWS Transcribe without segments: words, grouped by speaker, sentence end and pause.

    Older jobs name the speakers in another list, by the time of a word; jobs with channel
    identification have a list of words for each channel.
    """
    labels = results.get("channel_labels")
    channels = list(_objects(labels.get("channels"))) if isinstance(labels, dict) else []
    if channels:
        for number, channel in enumerate(channels):
            for cue in _word_items(_list(channel.get("items")), {}):
                yield replace(cue, channel=number)
        return
    speakers = results.get("speaker_labels")
    segments = _objects(speakers.get("segments")) if isinstance(speakers, dict) else iter(())
    by_time = {
        str(item.get("start_time")): item.get("speaker_label")
        for segment in segments
        for item in _objects(segment.get("items"))
    }
    yield from _word_items(results["items"], by_time)


def _word_items(items: Sequence[Any], speakers: Mapping[str, object]) -> Iterator[RawCue]:
    """Words and punctuation of AWS Transcribe and Speechmatics."""
    words: list[_Word] = []
    for item in _objects(items):
        best = next(iter(_objects(item.get("alternatives"))), {})
        text = str(best.get("content", ""))
        if item.get("type") == "punctuation" and words:
            words[-1] = words[-1].followed_by(text)
        else:
            start, end = _seconds(item.get("start_time")), _seconds(item.get("end_time"))
            known = speakers.get(str(item.get("start_time")))
            speaker = item.get("speaker_label") or best.get("speaker") or known
            words.append(_Word(text, start, end, _label(speaker)))
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
    """Google Speech-to-Text: one result per phrase, with words that have times.

    Without words a phrase starts where the one before it ends. Speechmatics has a list of words
    under the same key.
    """
    if any(item.get("type") in {"word", "punctuation"} for item in _objects(results)):
        yield from _word_items(results, {})
        return
    before: dict[int | None, float | None] = {}
    for result in _objects(results):
        best = next(iter(_objects(result.get("alternatives"))), {})
        words = [
            _Word(
                str(item.get("word", "")),
                _google_seconds(_first(item, ("startTime", "startOffset", "start_time")) or 0),
                _google_seconds(_first(item, ("endTime", "endOffset", "end_time"))),
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
        whole = _google_seconds(
            _first(result, ("resultEndTime", "resultEndOffset", "result_end_time"))
        )
        start = words[0].start_s if words else before.get(channel, 0.0)
        end = words[-1].end_s if words else whole
        before[channel] = whole
        speaker = words[0].speaker if words else None
        text = str(best.get("transcript") or " ".join(word.text for word in words))
        if text.strip():
            yield RawCue(start, end, text, speaker, channel)


def _google_seconds(value: object) -> float | None:
    """Return seconds from text such as ``3.86s``, or from an object of seconds and nanos."""
    if not isinstance(value, dict):
        return _seconds(value)
    whole, nanos = _seconds(value.get("seconds", 0)), _seconds(value.get("nanos", 0))
    return None if whole is None or nanos is None else whole + nanos / 1e9


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
    "results.items": lambda document: _aws_results(document["results"]),
    "results": lambda document: _google(document["results"]),
    "recognizedPhrases": lambda document: _azure(document["recognizedPhrases"]),
    "phrases": lambda document: _azure(document["phrases"]),
    "result.transcription.utterances": (
        lambda document: _segments(document["result"]["transcription"]["utterances"])
    ),
    "utterances": lambda document: _milliseconds(document["utterances"]),
    "Transcript": lambda document: _contact_lens(document["Transcript"]),
    "words": lambda document: _words(document["words"]),
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


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _checked(cue: RawCue) -> RawCue:
    """Treat an end that rounding puts before the start as missing."""
    start, end = cue.start_s, cue.end_s
    if start is not None and end is not None and start - MAX_ROUNDING_S <= end < start:
        return RawCue(start, None, cue.text, cue.speaker, cue.channel, cue.problem)
    return cue
