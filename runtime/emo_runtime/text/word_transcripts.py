"""Transcripts as words with times: OpenAI, AssemblyAI, ElevenLabs, NeMo, Vosk, Rev AI, Soniox."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from emo_runtime.text.cues import RawCue
from emo_runtime.text.transcript_fields import (
    Json,
    end_of,
    first_of,
    label_of,
    list_of,
    objects,
    seconds_of,
    speaker_of,
)
from emo_runtime.text.words import Word, sentences

_STARTS, _ENDS = ("start", "start_time", "ts"), ("end", "end_time", "end_ts")


def words_of(words: Sequence[Any]) -> Iterator[RawCue]:
    """Words without segments: in seconds, or in milliseconds (AssemblyAI)."""
    items = [item for item in objects(words) if item.get("type") != "spacing"]
    scale = 1000.0 if _has_milliseconds(items) else 1.0
    found = []
    for item in items:
        text = str(first_of(item, ("word", "text")) or "").strip()
        start, end = first_of(item, _STARTS), first_of(item, _ENDS)
        found.append(Word(text, seconds_of(start, scale), seconds_of(end, scale), speaker_of(item)))
    return sentences(found)


def vosk_results(results: Iterable[Any]) -> Iterator[RawCue]:
    """Vosk and Kaldi: one result for each utterance, with its words or its best hypothesis."""
    for result in objects(results):
        best = next(iter(objects(result.get("alternatives"))), result)
        words = [_timed(item) for item in objects(best.get("result"))]
        text = str(best.get("text") or " ".join(word.text for word in words)).strip()
        if words:
            yield RawCue(words[0].start_s, words[-1].end_s, text, words[0].speaker)
        elif text:
            yield RawCue(None, None, text, problem="its words have no times")


def rev_monologues(monologues: Sequence[Any]) -> Iterator[RawCue]:
    """Rev AI: words and punctuation of each speaker."""
    for monologue in objects(monologues):
        speaker = label_of(monologue.get("speaker"))
        words: list[Word] = []
        for item in objects(monologue.get("elements")):
            text = str(item.get("value", ""))
            if item.get("type") == "punct" and words:
                words[-1] = words[-1]._replace(text=words[-1].text + text.strip())
            elif text.strip():
                words.append(_timed({**item, "word": text, "speaker": speaker}))
        yield from sentences(words)


def ibm_results(results: Sequence[Any], labels: object) -> Iterator[RawCue]:
    """IBM Watson: phrases with ``[word, start, end]``, and speakers by the start of a word."""
    speakers = {str(item.get("from")): label_of(item.get("speaker")) for item in objects(labels)}
    for result in objects(results):
        best = next(iter(objects(result.get("alternatives"))), {})
        times = [item for item in list_of(best.get("timestamps")) if _is_word_list(item)]
        words: list[Word] = []
        for word, start, end in times:
            before = words[-1].speaker if words else None
            speaker = speakers.get(str(start)) or before
            words.append(Word(str(word), seconds_of(start), seconds_of(end), speaker))
        if len({word.speaker for word in words}) > 1:
            yield from sentences(words)
        elif words:
            text = str(best.get("transcript") or "").strip()
            yield RawCue(words[0].start_s, words[-1].end_s, text, words[0].speaker)


def soniox_tokens(tokens: Sequence[Any]) -> Iterator[RawCue]:
    """Soniox: parts of words in milliseconds; a space or another speaker starts a new word."""
    words: list[Word] = []
    is_start = True
    for item in objects(tokens):
        text, speaker = str(item.get("text", "")), speaker_of(item)
        start, end = (seconds_of(item.get(key), 1000.0) for key in ("start_ms", "end_ms"))
        is_start = is_start or text[:1].isspace() or words[-1].speaker != speaker
        if not text.strip():
            continue
        if is_start:
            words.append(Word(text.strip(), start, end, speaker))
        else:
            words[-1] = words[-1]._replace(text=words[-1].text + text.strip(), end_s=end)
        is_start = text[-1].isspace()
    return sentences(words)


def deepgram_events(events: Iterable[Any]) -> Iterator[RawCue]:
    """Deepgram's messages of a live stream: final results."""
    for event in objects(events):
        if event.get("type", "Results") != "Results" or event.get("is_final") is False:
            continue
        channel = event.get("channel")
        alternatives = channel.get("alternatives") if isinstance(channel, dict) else None
        text = next(iter(objects(alternatives)), {}).get("transcript")
        if isinstance(text, str) and text.strip():
            start, length = seconds_of(event.get("start")), seconds_of(event.get("duration"))
            index = list_of(event.get("channel_index"))
            counted = len(index) == 2 and all(isinstance(number, int) for number in index)
            cue = RawCue(start, end_of(start, length), text)
            yield replace(cue, channel=index[0]) if counted and index[1] > 1 else cue


def _timed(item: Json) -> Word:
    start = seconds_of(first_of(item, _STARTS))
    end = seconds_of(first_of(item, _ENDS))
    return Word(str(first_of(item, ("word", "text")) or ""), start, end, speaker_of(item))


def _has_milliseconds(items: Sequence[Json]) -> bool:
    """True for the words of AssemblyAI: whole numbers, and words under ``text``."""
    times = [item[key] for item in items for key in ("start", "end") if item.get(key) is not None]
    return (
        not any("word" in item or "type" in item for item in items)
        and bool(times)
        and all(isinstance(time, int) and not isinstance(time, bool) for time in times)
    )


def _is_word_list(item: object) -> bool:
    return isinstance(item, list) and len(item) == 3
