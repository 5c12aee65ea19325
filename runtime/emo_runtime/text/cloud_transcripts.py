"""Transcripts of cloud services: AWS, Azure, Google, Deepgram, AssemblyAI, Speechmatics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emo_runtime.text.cues import RawCue
from emo_runtime.text.transcript_fields import (
    Json,
    cue_of,
    end_of,
    first_of,
    label_of,
    list_of,
    objects,
    seconds_of,
)
from emo_runtime.text.words import Word, sentences

_TICKS_PER_S = 10_000_000


def aws_segments(segments: Sequence[Any]) -> Iterator[RawCue]:
    """AWS Transcribe: segments of one speaker, in seconds."""
    for item in objects(segments):
        yield cue_of(item, item.get("start_time"), item.get("end_time"))


def aws_results(results: Json) -> Iterator[RawCue]:
    """AWS Transcribe without segments: words, grouped by speaker, sentence end and pause.

    Older jobs name the speakers in another list, by the time of a word; jobs with channel
    identification have a list of words for each channel.
    """
    labels = results.get("channel_labels")
    channels = list(objects(labels.get("channels"))) if isinstance(labels, dict) else []
    if channels:
        for number, channel in enumerate(channels):
            for cue in _word_items(list_of(channel.get("items")), {}):
                yield replace(cue, channel=number)
        return
    speakers = results.get("speaker_labels")
    segments = objects(speakers.get("segments")) if isinstance(speakers, dict) else iter(())
    by_time = {
        str(item.get("start_time")): item.get("speaker_label")
        for segment in segments
        for item in objects(segment.get("items"))
    }
    yield from _word_items(results["items"], by_time)


def contact_lens(turns: Sequence[Any]) -> Iterator[RawCue]:
    """Amazon Connect Contact Lens: turns of participants, in milliseconds."""
    for item in objects(turns):
        fields = {"text": item.get("Content"), "speaker": item.get("ParticipantId")}
        yield cue_of(fields, item.get("BeginOffsetMillis"), item.get("EndOffsetMillis"), 1000.0)


def azure_phrases(phrases: Sequence[Any]) -> Iterator[RawCue]:
    """Azure batch and fast transcription: offset and duration in ticks, ISO 8601 or ms."""
    for item in objects(phrases):
        if "offsetMilliseconds" in item:
            start = seconds_of(item["offsetMilliseconds"], 1000.0)
            length = seconds_of(item.get("durationMilliseconds"), 1000.0)
        elif "offsetInTicks" in item:
            start = seconds_of(item["offsetInTicks"], _TICKS_PER_S)
            length = seconds_of(item.get("durationInTicks"), _TICKS_PER_S)
        else:
            start, length = seconds_of(item.get("offset")), seconds_of(item.get("duration"))
        best = next(iter(objects(item.get("nBest"))), {})
        text = item.get("text") or best.get("display") or best.get("lexical")
        yield cue_of({**item, "text": text}, start, end_of(start, length))


def azure_results(results: Sequence[Any]) -> Iterator[RawCue]:
    """Azure's recognition results, in the order of the recognizer: times in ticks."""
    for item in objects(results):
        best = next(iter(objects(item.get("NBest"))), {})
        text = item.get("DisplayText") or best.get("Display") or ""
        if item.get("RecognitionStatus") == "Success" or text:
            start = seconds_of(item.get("Offset"), _TICKS_PER_S)
            length = seconds_of(item.get("Duration"), _TICKS_PER_S)
            yield cue_of({**item, "text": text}, start, end_of(start, length))


def google_results(results: Sequence[Any]) -> Iterator[RawCue]:
    """Google Speech-to-Text: one result per phrase, with words that have times.

    Without words a phrase starts where the one before it ends. Speechmatics has a list of words
    under the same key.
    """
    if any(item.get("type") in ("word", "punctuation") for item in objects(results)):
        yield from _word_items(results, {})
        return
    before: dict[int | None, float | None] = {}
    for result in objects(results):
        best = next(iter(objects(result.get("alternatives"))), {})
        words = [
            Word(
                str(item.get("word", "")),
                _google_seconds(first_of(item, ("startTime", "startOffset", "start_time")) or 0),
                _google_seconds(first_of(item, ("endTime", "endOffset", "end_time"))),
                label_of(item.get("speakerLabel") or item.get("speakerTag") or None),
            )
            for item in objects(best.get("words"))
        ]
        tag = result.get("channelTag")
        channel = tag - 1 if isinstance(tag, int) and tag > 0 else None
        if len({word.speaker for word in words}) > 1:
            for cue in sentences(words):
                yield replace(cue, channel=channel)
            continue
        whole = _google_seconds(
            first_of(result, ("resultEndTime", "resultEndOffset", "result_end_time"))
        )
        start = words[0].start_s if words else before.get(channel, 0.0)
        end = words[-1].end_s if words else whole
        before[channel] = whole
        speaker = words[0].speaker if words else None
        text = str(best.get("transcript") or " ".join(word.text for word in words))
        if text.strip():
            yield RawCue(start, end, text, speaker, channel)


def deepgram_channels(channels: Sequence[Any]) -> Iterator[RawCue]:
    """Deepgram: sentences of paragraphs, or words, of every channel."""
    several = len(channels) > 1
    for number, channel in enumerate(objects(channels)):
        best = next(iter(objects(channel.get("alternatives"))), {})
        place = number if several else None
        paragraphs = best.get("paragraphs")
        groups = paragraphs.get("paragraphs") if isinstance(paragraphs, dict) else None
        if isinstance(groups, list):
            for group in objects(groups):
                for item in objects(group.get("sentences")):
                    yield cue_of(
                        {"speaker": group.get("speaker"), **item, "channel": place},
                        item.get("start"),
                        item.get("end"),
                    )
            continue
        words = [
            Word(
                str(item.get("punctuated_word") or item.get("word") or ""),
                seconds_of(item.get("start")),
                seconds_of(item.get("end")),
                label_of(item.get("speaker")),
            )
            for item in objects(best.get("words"))
        ]
        for cue in sentences(words):
            yield replace(cue, channel=place)


def assembly_utterances(utterances: Sequence[Any]) -> Iterator[RawCue]:
    """AssemblyAI: utterances of one speaker, in milliseconds."""
    for item in objects(utterances):
        yield cue_of(item, item.get("start"), item.get("end"), 1000.0)


def sentences_of(items: Sequence[Any]) -> Iterator[RawCue]:
    """Sentences: AssemblyAI's in whole milliseconds; Twilio's, NeMo's and Parakeet's in seconds."""
    timed = [
        (item, first_of(item, ("start", "start_time")), first_of(item, ("end", "end_time")))
        for item in objects(items)
    ]
    known = [time for _, *times in timed for time in times if time is not None]
    is_whole = all(isinstance(time, int) for time in known)
    for item, start, end in timed:
        cue = cue_of(item, start, end, 1000.0 if is_whole else 1.0)
        channel = item.get("media_channel")  # Twilio counts from 1
        yield replace(cue, channel=channel - 1) if isinstance(channel, int) and channel > 0 else cue


def _google_seconds(value: object) -> float | None:
    """Return seconds from text such as ``3.86s``, or from an object of seconds and nanos."""
    if not isinstance(value, dict):
        return seconds_of(value)
    whole, nanos = seconds_of(value.get("seconds", 0)), seconds_of(value.get("nanos", 0))
    return None if whole is None or nanos is None else whole + nanos / 1e9


def _word_items(items: Sequence[Any], speakers: Mapping[str, object]) -> Iterator[RawCue]:
    """Words and punctuation of AWS Transcribe and Speechmatics."""
    words: list[Word] = []
    for item in objects(items):
        best = next(iter(objects(item.get("alternatives"))), {})
        text = str(best.get("content", ""))
        if item.get("type") == "punctuation" and words:
            words[-1] = words[-1]._replace(text=words[-1].text + text)
        else:
            start, end = seconds_of(item.get("start_time")), seconds_of(item.get("end_time"))
            known = speakers.get(str(item.get("start_time")))
            speaker = item.get("speaker_label") or best.get("speaker") or known
            words.append(Word(text, start, end, label_of(speaker)))
    return sentences(words)
