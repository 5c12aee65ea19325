"""Timed transcripts in the JSON of speech recognizers and cloud services."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from emo_runtime.errors import TextError
from emo_runtime.text.cloud_transcripts import (
    assembly_utterances,
    aws_results,
    aws_segments,
    azure_phrases,
    azure_results,
    contact_lens,
    deepgram_channels,
    google_results,
    sentences_of,
)
from emo_runtime.text.cues import MAX_ROUNDING_S, RawCue
from emo_runtime.text.transcript_fields import (
    cue_of,
    end_of,
    first_of,
    json_type,
    objects,
    seconds_of,
)
from emo_runtime.text.word_transcripts import (
    deepgram_events,
    ibm_results,
    rev_monologues,
    soniox_tokens,
    vosk_results,
    words_of,
)

_START_KEYS = (
    "start",
    "start_s",
    "start_time",
    "startTime",
    "begin",
    "from",
    "offset",
    "time_begin",
)
_END_KEYS = ("end", "end_s", "end_time", "endTime", "stop", "to", "time_end")
_TIME_KEYS = {*_START_KEYS, "timestamp", "start_ms"}
# Keys under which services and scripts put the document of a recognizer.
_WRAPPERS = ("result", "results", "response", "output", "data", "transcript", "transcription",
             "cues", "items", "prediction", "timestamp")  # fmt: skip
_MAX_WRAPPERS = 4
_TUPLE_FIELDS = 5


def parse_json(content: str, name: str) -> list[RawCue]:
    """Read the cues of a JSON transcript; the layout is recognized by its keys.

    Raises:
        TextError: not JSON, or an unknown layout; the message names the keys that were found.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return _concatenated(content.lstrip(), name)
        raise TextError(f"{name}: not valid JSON: {str(error)[:200]}.") from None
    reader = _layout(document)
    if reader is None:
        raise TextError(
            f"{name}: unknown layout of a transcript ({_found(document)}). Supported: "
            "WhisperX, Whisper, faster-whisper, whisper.cpp, Hugging Face pipelines, OpenAI, "
            "Deepgram, AssemblyAI, Speechmatics, AWS Transcribe, Amazon Connect, Google, Azure, "
            "ElevenLabs, Gladia, IBM, NeMo, Rev AI, Soniox, Twilio and Vosk."
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
    return _json_documents(segments, content, name)


def _json_documents(documents: list[Any], content: str, name: str) -> list[RawCue]:
    """Read several JSON documents: one transcript, events of a recognizer, or segments."""
    if len(documents) == 1 and _layout(documents[0]) is not None:
        return parse_json(content, name)
    return [_checked(cue) for cue in (_events(documents) or _segments)(documents)]


def _concatenated(content: str, name: str) -> list[RawCue]:
    """Read JSON documents that follow each other, also over several lines (Vosk)."""
    decoder, place, documents = json.JSONDecoder(), 0, []
    try:
        while place < len(content):
            document, place = decoder.raw_decode(content, place)
            documents.append(document)
            place += len(content[place:]) - len(content[place:].lstrip())
    except (ValueError, RecursionError):
        return parse_json_lines(content, name)  # names the line
    return _json_documents(documents, content, name)


def _layout(document: Any, depth: int = 0) -> Callable[[Any], Iterable[RawCue]] | None:
    """Return the reader of a document's layout."""
    if isinstance(document, list):
        return _layout_of_list(document, depth)
    if not isinstance(document, dict):
        return None
    if (events := _events([document])) is not None:
        return _single(events)
    for key, reader in _LAYOUTS.items():
        place: Any = document
        for part in key.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(place, list):
            return reader
    wrappers = _WRAPPERS if len(document) > 1 else tuple(document)
    return next((found for key in wrappers if (found := _inside(key, document, depth))), None)


def _single(reader: Callable[[Any], Iterable[RawCue]]) -> Callable[[Any], Iterable[RawCue]]:
    """Return a reader of one item from a reader of lists."""
    return lambda document: reader([document])


def _layout_of_list(document: list[Any], depth: int) -> Callable[[Any], Iterable[RawCue]] | None:
    if len(document) == 2 and isinstance(document[0], list) and not _is_named_tuple(document[0]):
        return _inside(0, document, depth)  # faster-whisper's pair of segments and information
    if document and all(_is_named_tuple(item) for item in document):
        return _faster_whisper_tuples
    objects = [item for item in document if isinstance(item, dict)]
    known = len(objects) == len(document) and (
        not document or any(not _TIME_KEYS.isdisjoint(item) for item in objects)
    )
    return _events(document) or (_segments if known else None)


def _events(items: Sequence[Any]) -> Callable[[Any], Iterable[RawCue]] | None:
    """Return the reader of a recognizer's messages, recognized by the keys of any of them."""
    keys = {key for item in items if isinstance(item, dict) for key in item}
    if "RecognitionStatus" in keys:
        return azure_results
    if {"is_final", "channel"} <= keys:
        return deepgram_events
    if any(_is_vosk(item) for item in items):
        return vosk_results
    return None


def _is_vosk(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    best = item.get("alternatives")
    words = best[0] if isinstance(best, list) and best else item
    words = words.get("result") if isinstance(words, dict) else None
    return (
        isinstance(words, list)
        and bool(words)
        and isinstance(words[0], dict)
        and "word" in words[0]
    )


def _is_named_tuple(item: Any) -> bool:
    """True for a segment of older versions of faster-whisper: id, seek, start, end, text, ..."""
    return (
        isinstance(item, list)
        and len(item) >= _TUPLE_FIELDS
        and isinstance(item[4], str)
        and all(isinstance(value, int | float) for value in item[:4])
    )


def _faster_whisper_tuples(segments: Sequence[Any]) -> Iterator[RawCue]:
    for segment in segments:
        yield RawCue(seconds_of(segment[2]), seconds_of(segment[3]), segment[4])


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
    return f"a JSON {json_type(document)}"


def _segments(segments: Sequence[Any]) -> Iterator[RawCue]:
    """Whisper and compatible layouts: start, end, text, speaker; in seconds."""
    for segment in segments:
        if not isinstance(segment, dict):
            yield RawCue(None, None, "", problem=f"a JSON {json_type(segment)}, not an object")
            continue
        if not {"start_ms", "end_ms"}.isdisjoint(segment):
            yield cue_of(segment, segment.get("start_ms"), segment.get("end_ms"), 1000.0)
            continue
        start, end = first_of(segment, _START_KEYS), first_of(segment, _END_KEYS)
        pair = segment.get("timestamp")
        if start is None and isinstance(pair, list) and len(pair) == 2:
            start, end = pair
        if end is None:
            end = end_of(seconds_of(start), seconds_of(segment.get("duration")))
        yield cue_of(segment, start, end)


def _whisper_cpp(segments: Sequence[Any]) -> Iterator[RawCue]:
    """whisper.cpp: offsets in milliseconds, or timestamps as text."""
    for segment in segments:
        if not isinstance(segment, dict):
            yield RawCue(None, None, "", problem=f"a JSON {json_type(segment)}, not an object")
            continue
        times, scale = segment.get("offsets"), 1000.0
        if not isinstance(times, dict):
            times, scale = segment.get("timestamps"), 1.0
        if not isinstance(times, dict):
            times = {}
        yield cue_of(segment, times.get("from"), times.get("to"), scale)


def _google_or_ibm(document: Any) -> Iterable[RawCue]:
    """Google's results, or those of IBM, which have lists of words with times."""
    results = document["results"]
    best = [next(iter(objects(item.get("alternatives"))), {}) for item in objects(results)]
    if any("timestamps" in item for item in best):
        return ibm_results(results, document.get("speaker_labels"))
    return google_results(results)


_LAYOUTS: dict[str, Callable[[Any], Iterable[RawCue]]] = {
    "segments": lambda document: _segments(document["segments"]),
    "transcription": lambda document: _whisper_cpp(document["transcription"]),
    "chunks": lambda document: _segments(document["chunks"]),
    "results.utterances": lambda document: _segments(document["results"]["utterances"]),
    "results.channels": lambda document: deepgram_channels(document["results"]["channels"]),
    "results.audio_segments": lambda document: aws_segments(document["results"]["audio_segments"]),
    "results.items": lambda document: aws_results(document["results"]),
    "results": _google_or_ibm,
    "recognizedPhrases": lambda document: azure_phrases(document["recognizedPhrases"]),
    "phrases": lambda document: azure_phrases(document["phrases"]),
    "result.transcription.utterances": (
        lambda document: _segments(document["result"]["transcription"]["utterances"])
    ),
    "utterances": lambda document: assembly_utterances(document["utterances"]),
    "Transcript": lambda document: contact_lens(document["Transcript"]),
    "monologues": lambda document: rev_monologues(document["monologues"]),
    "sentences": lambda document: sentences_of(document["sentences"]),
    "paragraphs": lambda document: sentences_of(document["paragraphs"]),
    "segment": lambda document: _segments(document["segment"]),
    "words": lambda document: words_of(document["words"]),
    "tokens": lambda document: soniox_tokens(document["tokens"]),
}


def _checked(cue: RawCue) -> RawCue:
    """Treat an end that rounding puts before the start as missing."""
    start, end = cue.start_s, cue.end_s
    if start is not None and end is not None and start - MAX_ROUNDING_S <= end < start:
        return replace(cue, end_s=None)
    return cue
