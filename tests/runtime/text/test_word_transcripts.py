"""JSON with words or sentences of each service, as its documentation shows it."""

import json
from typing import Any

import pytest

from emo_runtime.text.transcripts import decode_transcript, parse_transcript

HELLO, NO = "Buenos días.", "No."
WORDS = [("Buenos", 0.1, 0.4, "A"), ("días.", 0.4, 0.9, "A"), ("No.", 4.0, 4.5, "B")]
TURNS = [(0.1, 0.9, HELLO, "A"), (4.0, 4.5, NO, "B")]
PLAIN = [(start, end, text, None) for start, end, text, _ in TURNS]


def vosk(words):
    return {
        "result": [{"conf": 1, "start": s, "end": e, "word": w} for w, s, e, _ in words],
        "text": " ".join(word for word, *_ in words),
    }


def soniox(words):
    parts = []
    for word, start, end, who in words:
        middle = len(word) // 2
        parts += [
            {"text": f" {word[:middle]}", "start_ms": 1000 * start, "end_ms": 1000 * start + 50,
             "speaker": who},
            {"text": word[middle:], "start_ms": 1000 * start + 50, "end_ms": 1000 * end,
             "speaker": who},
        ]  # fmt: skip
    return parts


LAYOUTS: dict[str, tuple[Any, list[Any]]] = {
    "ElevenLabs": (
        {"text": "", "words": [
            part for w, s, e, who in WORDS for part in (
                {"text": w, "start": s, "end": e, "type": "word", "speaker_id": who},
                {"text": " ", "start": e, "end": e, "type": "spacing", "speaker_id": who},
            )]},
        TURNS,
    ),
    "ElevenLabs, whole seconds": (
        {"words": [{"text": "a", "start": 3, "end": 4, "type": "word"}]}, [(3.0, 4.0, "a", None)],
    ),
    "NeMo, words": (
        {"words": [{"word": w, "start_time": s, "end_time": e, "speaker_label": who}
                   for w, s, e, who in WORDS]},
        TURNS,
    ),
    "NeMo, sentences": (
        {"status": "Success", "transcription": HELLO, "words": [], "sentences": [
            {"sentence": text, "start_time": s, "end_time": e, "speaker": who}
            for s, e, text, who in TURNS]},
        TURNS,
    ),
    "NeMo, timestamps": (
        {"text": HELLO, "timestamp": {"segment": [
            {"segment": text, "start": s, "end": e} for s, e, text, _ in TURNS], "word": []}},
        PLAIN,
    ),
    "Vosk": (vosk(WORDS[:2]), PLAIN[:1]),
    "Vosk, alternatives": ({"alternatives": [{"confidence": 1, **vosk(WORDS[:2])}]}, PLAIN[:1]),
    "Vosk, list": ([vosk(WORDS[:2]), {"text": ""}, vosk(WORDS[2:])], PLAIN),
    "Rev AI": (
        {"monologues": [
            {"speaker": "A", "elements": [
                {"type": "text", "value": "Buenos", "ts": 0.1, "end_ts": 0.4},
                {"type": "punct", "value": " "},
                {"type": "text", "value": "días", "ts": 0.4, "end_ts": 0.9},
                {"type": "punct", "value": "."}]},
            {"speaker": "B", "elements": [
                {"type": "text", "value": "No", "ts": 4.0, "end_ts": 4.5},
                {"type": "punct", "value": "."}]}]},
        TURNS,
    ),
    "IBM": (
        {"results": [
            {"final": True, "alternatives": [{"transcript": f"{text} ", "timestamps": [
                [w, a, b] for w, a, b, _ in WORDS if s <= a < e]}]}
            for s, e, text, _ in TURNS],
         "speaker_labels": [
            {"from": s, "to": e, "speaker": who} for _, s, e, who in WORDS]},
        TURNS,
    ),
    "Soniox": ({"id": "x", "text": HELLO, "tokens": soniox(WORDS)}, TURNS),
    "Soniox, spaces alone or at the end": (
        {"tokens": [
            part for w, s, e, who in WORDS for part in (
                {"text": w, "start_ms": 1000 * s, "end_ms": 1000 * e, "speaker": who},
                {"text": " ", "start_ms": 1000 * e, "end_ms": 1000 * e, "speaker": who})]},
        TURNS,
    ),
    "Soniox, no space between speakers": (
        {"tokens": [
            {"text": "No.", "start_ms": 0, "end_ms": 500, "speaker": "A"},
            {"text": "Sí.", "start_ms": 600, "end_ms": 900, "speaker": "B"}]},
        [(0.0, 0.5, "No.", "A"), (0.6, 0.9, "Sí.", "B")],
    ),
    "NeMo, some whole seconds": (
        {"sentences": [{"text": "No.", "start": 0, "end": 1},
                       {"text": "Sí.", "start": 1.5, "end": 2}]},
        [(0.0, 1.0, "No.", None), (1.5, 2.0, "Sí.", None)],
    ),
    "Twilio": (
        {"sentences": [
            {"media_channel": 1, "start_time": str(s), "end_time": str(e), "transcript": text}
            for s, e, text, _ in TURNS], "meta": {"key": "sentences"}},
        PLAIN,
    ),
    "AssemblyAI, sentences": (
        {"id": "x", "sentences": [
            {"text": text, "start": round(1000 * s), "end": round(1000 * e), "words": []}
            for s, e, text, _ in TURNS]},
        PLAIN,
    ),
    "Gladia, first version": (
        {"prediction": [
            {"transcription": text, "time_begin": s, "time_end": e, "speaker": who}
            for s, e, text, who in TURNS]},
        TURNS,
    ),
    "Google, second version": (
        {"results": {"gs://a/b.wav": {"transcript": {"results": [
            {"alternatives": [{"transcript": text, "words": [
                {"word": text, "startOffset": f"{s}s", "endOffset": f"{e}s"}]}]}
            for s, e, text, _ in TURNS]}}}},
        PLAIN,
    ),
    "Azure, one result": (
        {"RecognitionStatus": "Success", "DisplayText": HELLO, "Offset": 1_000_000,
         "Duration": 8_000_000},
        PLAIN[:1],
    ),
    "faster-whisper, tuples": ([[1, 0, s, e, text, [1], -0.1] for s, e, text, _ in TURNS], PLAIN),
    "Deepgram, live": (
        [{"type": "Results", "is_final": final, "start": s, "duration": e - s,
          "channel": {"alternatives": [{"transcript": text}]}}
         for s, e, text, _ in TURNS for final in (False, True)]
        + [{"type": "Metadata"}],
        PLAIN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    document, expected = LAYOUTS[layout]
    contents = [json.dumps(document)]
    if isinstance(document, list) and isinstance(document[0], dict):
        contents.append("\n".join(json.dumps(part) for part in document))
        contents.append("\n".join(json.dumps(part, indent=1) for part in document))
    for content in contents:
        cues = parse_transcript(content, ".json", "call.json")
        found = [(cue.start_s, cue.end_s, cue.text, cue.speaker) for cue in cues]
        assert found == [(pytest.approx(s), pytest.approx(e), text, who)
                         for s, e, text, who in expected]  # fmt: skip
        assert {cue.problem for cue in cues} == {None}


def test_channels_are_counted_from_zero():
    sentence = {"media_channel": 2, "start_time": "0", "end_time": "1", "transcript": "a"}
    [twilio] = parse_transcript(json.dumps({"sentences": [sentence]}), ".json", "a")
    event = {"is_final": True, "channel_index": [1, 2], "start": 0, "duration": 1,
             "channel": {"alternatives": [{"transcript": "a"}]}}  # fmt: skip
    [deepgram] = parse_transcript(json.dumps(event), ".json", "a")
    assert twilio.channel == deepgram.channel == 1


def test_a_result_without_times_is_a_problem_of_its_cue():
    results = [vosk(WORDS[:2]), {"text": "sin tiempos"}]
    cues = parse_transcript(json.dumps(results), ".json", "a")
    assert [cue.problem for cue in cues] == [None, "its words have no times"]


def test_json_in_the_encoding_of_windows():
    content = json.dumps({"segments": [{"start": 0, "end": 1, "text": HELLO}]}, ensure_ascii=False)
    [cue] = decode_transcript(content.encode("cp1252"), ".json", "a")
    assert cue.text == HELLO
