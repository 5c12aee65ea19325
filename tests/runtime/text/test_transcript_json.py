"""JSON of speech recognizers: one document for each layout, as its documentation shows it."""

import json

import pytest

from emo_runtime.errors import TextError
from emo_runtime.text.transcript_json import parse_json, parse_json_lines

# What the words of two speakers give in every layout without segments.
TWO_TURNS = [(0.0, 0.9, "Buenos días.", "0"), (1.0, 1.4, "Hola", "1")]
WORDS = [("Buenos", "Buenos", 0.0, 0.4, 0), ("días", "días.", 0.5, 0.9, 0)]
WORDS += [("hola", "Hola", 1.0, 1.4, 1)]


def found(document):
    content = document if isinstance(document, str) else json.dumps(document)
    return [
        (cue.start_s, cue.end_s, cue.text, cue.speaker) for cue in parse_json(content, "a.json")
    ]


AWS_ITEMS = [
    {"type": "pronunciation", "start_time": "0.0", "end_time": "0.4", "speaker_label": "0",
     "alternatives": [{"content": "Buenos"}]},
    {"type": "pronunciation", "start_time": "0.5", "end_time": "0.9", "speaker_label": "0",
     "alternatives": [{"content": "días"}]},
    {"type": "punctuation", "alternatives": [{"content": "."}]},
    {"type": "pronunciation", "start_time": "1.0", "end_time": "1.4", "speaker_label": "1",
     "alternatives": [{"content": "Hola"}]},
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"segments": [{"start": 0, "end": 1.5, "text": "a", "speaker": "S0"}]},
         [(0.0, 1.5, "a", "S0")]),
        ([{"start": 0.0, "end": 1.5, "text": "a"}], [(0.0, 1.5, "a", None)]),
        ([], []),
        ({"transcription": [{"offsets": {"from": 0, "to": 1500}, "text": "a", "speaker": "?"}]},
         [(0.0, 1.5, "a", None)]),
        ({"transcription": [
            {"timestamps": {"from": "00:00:01,000", "to": "00:00:01,500"}, "text": "a"}]},
         [(1.0, 1.5, "a", None)]),
        ({"text": "a", "chunks": [{"timestamp": [0.0, None], "text": "a"}]},
         [(0.0, None, "a", None)]),
        ({"results": {"utterances": [
            {"start": 0.5, "end": 1.0, "transcript": "a", "speaker": 0, "channel": 0}]}},
         [(0.5, 1.0, "a", "0")]),
        ({"results": {"channels": [{"alternatives": [{"words": [
            {"word": word, "punctuated_word": full, "start": start, "end": end, "speaker": who}
            for word, full, start, end, who in WORDS]}]}]}}, TWO_TURNS),
        ({"results": {"channels": [{"alternatives": [{"paragraphs": {"paragraphs": [
            {"speaker": 1, "sentences": [{"text": "a.", "start": 0.1, "end": 0.2}]}]}}]}]}},
         [(0.1, 0.2, "a.", "1")]),
        ({"results": {"audio_segments": [
            {"transcript": "a", "start_time": "0.5", "end_time": "1.0", "speaker_label": "spk_0"},
        ]}},
         [(0.5, 1.0, "a", "spk_0")]),
        ({"results": {"items": AWS_ITEMS}}, TWO_TURNS),
        ({"results": [{"alternatives": [{"transcript": "Buenos días. Hola", "words": [
            {"word": full, "startTime": f"{start}s", "endTime": f"{end}s", "speakerLabel": str(who)}
            for _, full, start, end, who in WORDS]}]}]}, TWO_TURNS),
        ({"results": [{"alternatives": [{"transcript": "a b", "words": [
            {"word": "a", "startOffset": "0.5s", "endOffset": "1s"},
            {"word": "b", "startOffset": "1s", "endOffset": "2.5s"}]}]}]},
         [(0.5, 2.5, "a b", None)]),
        ({"recognizedPhrases": [
            {"offsetInTicks": 5_000_000, "durationInTicks": 10_000_000, "channel": 0, "speaker": 2,
             "nBest": [{"display": "Hola.", "lexical": "hola"}]}]},
         [(0.5, 1.5, "Hola.", "2")]),
        ({"recognizedPhrases": [{"offset": "PT1M0.5S", "duration": "PT1S", "nBest": [
            {"lexical": "hola"}]}]}, [(60.5, 61.5, "hola", None)]),
        ({"phrases": [{"offsetMilliseconds": 500, "durationMilliseconds": 250, "text": "a"}]},
         [(0.5, 0.75, "a", None)]),
        ({"utterances": [{"start": 500, "end": 750, "text": "a", "speaker": "A"}]},
         [(0.5, 0.75, "a", "A")]),
        ({"segments": [{"start": "00:00:01.500", "end": "2.5", "text": "a"}]},
         [(1.5, 2.5, "a", None)]),
        ({"segments": [{"start": 9.2, "end": 9.18, "text": "a"}]}, [(9.2, None, "a", None)]),
    ],
)  # fmt: skip
def test_layouts(document, expected):
    assert found(document) == expected


def test_channels_of_a_recording_are_kept():
    channel = {"alternatives": [{"words": [{"word": "a", "start": 0, "end": 1}]}]}
    document = json.dumps({"results": {"channels": [channel, channel]}})
    assert [cue.channel for cue in parse_json(document, "a.json")] == [0, 1]
    google = {"channelTag": 2, "alternatives": [{"transcript": "a"}], "resultEndTime": "1s"}
    [cue] = parse_json(json.dumps({"results": [google]}), "a.json")
    assert (cue.channel, cue.start_s, cue.end_s) == (1, None, 1.0)


@pytest.mark.parametrize(
    ("segment", "problem"),
    [
        (5, "a JSON number, not an object"),
        ({"start": 0, "end": 1}, "it has no text"),
        ({"start": 0, "end": 1, "text": None}, "it has no text"),
        ({"start": 0, "end": 1, "text": 5}, "its text is not a string"),
        ({"start": "x", "end": 1, "text": ""}, "its start cannot be read: 'x'"),
        ({"start": 0, "end": [], "text": ""}, "its end cannot be read: '[]'"),
        ({"start": 0, "end": 10**400, "text": ""}, "its end cannot be read"),
        ({"start": "PT1.2.3S", "end": 4, "text": ""}, "its start cannot be read: 'PT1.2.3S'"),
    ],
)
def test_a_bad_segment_does_not_cost_the_file(segment, problem):
    good = {"start": 4, "end": 5, "text": "sigo"}
    wrong, right = parse_json(json.dumps({"segments": [segment, good]}), "a.json")
    assert wrong.problem.startswith(problem)
    assert (right.text, right.problem) == ("sigo", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.json: not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"words": [], "duration": 3}', r"unknown layout .*keys found: 'words', 'duration'"),
        ("{}", "keys found: none"),
        ('"hola"', "a JSON string"),
        ("[1, 2]", "a JSON array"),
        ('{"segments": 5}', "keys found: 'segments'"),
    ],
)
def test_documents_that_are_refused(content, message):
    with pytest.raises(TextError, match=message):
        parse_json(content, "a.json")


def test_json_lines():
    lines = '{"start": 0, "end": 1, "text": "a"}\n\n{"start": 1, "end": null, "text": "b"}\n'
    assert [(cue.text, cue.end_s) for cue in parse_json_lines(lines, "a.jsonl")] == [
        ("a", 1.0),
        ("b", None),
    ]
    with pytest.raises(TextError, match=r"a\.jsonl, line 2: not valid JSON"):
        parse_json_lines('{"start": 0}\n{', "a.jsonl")
    whole = json.dumps({"segments": [{"start": 0, "end": 1, "text": "a"}]})
    assert len(parse_json_lines(whole, "a.jsonl")) == 1
