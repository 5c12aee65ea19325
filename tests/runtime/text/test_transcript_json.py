"""JSON of speech recognizers: one document for each layout, as its documentation shows it."""

import json

import pytest

from emo_runtime.errors import TextError
from emo_runtime.text.transcript_json import parse_json, parse_json_lines
from emo_runtime.text.transcripts import parse_transcript


def found(document):
    content = document if isinstance(document, str) else json.dumps(document)
    return [
        (cue.start_s, cue.end_s, cue.text, cue.speaker) for cue in parse_json(content, "a.json")
    ]


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
        ({"segments": [{"start": "00:00:01.500", "end": "2.5", "text": "a"}]},
         [(1.5, 2.5, "a", None)]),
        ({"segments": [{"start": 9.2, "end": 9.18, "text": "a"}]}, [(9.2, None, "a", None)]),
    ],
)  # fmt: skip
def test_layouts(document, expected):
    assert found(document) == expected


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
        ('{"spoken": [], "duration": 3}', r"unknown layout .*keys found: 'spoken', 'duration'"),
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


PAIR = [("hola", 0, 0.5), ("no", 0.6, 1.5)]
SEGMENTS = [{"start": start, "end": end, "text": text} for text, start, end in PAIR]
LAYOUTS = {
    "a wrapper": {"result": {"segments": SEGMENTS}},
    "two wrappers": {"response": {"output": SEGMENTS}},
    "segments and information": [SEGMENTS, {"language": "es"}],
    "other names of times": [
        {"start_time": 0, "end_time": 0.5, "text": "hola"},
        {"begin": 0.6, "stop": 1.5, "text": "no"},
    ],
    "a duration": [
        {"start": 0, "duration": 0.5, "text": "hola"},
        {"start": 0.6, "duration": 0.9, "text": "no"},
    ],
    "milliseconds": [
        {"start_ms": 0, "end_ms": 500, "text": "hola"},
        {"start_ms": 600, "end_ms": 1500, "text": "no"},
    ],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_cue_of_other_layouts_is_lost(layout):
    cues = parse_transcript(json.dumps(LAYOUTS[layout]), ".json", "call.json")
    assert [cue.text for cue in cues] == ["hola", "no"]
    for cue, (_, start, end) in zip(cues, PAIR, strict=True):
        assert (cue.start_s, cue.end_s, cue.problem) == (start, pytest.approx(end), None)


def test_lines_of_json_in_a_json_file():
    cues = parse_transcript("\n".join(map(json.dumps, SEGMENTS)), ".json", "call.json")
    assert [cue.text for cue in cues] == ["hola", "no"]


def test_a_table_has_no_quotes_and_may_have_seconds():
    for content in (
        'start\tend\ttext\n0\t500\t"hola\n600\t1500\tno\n',
        'start\tend\ttext\r\n0.0\t0.5\t"hola\r\n0.6\t1.5\tno\r\n',
    ):
        cues = parse_transcript(content, ".tsv", "call.tsv")
        assert [(cue.text, cue.start_s, cue.end_s) for cue in cues] == [
            ('"hola', 0, 0.5),
            ("no", 0.6, 1.5),
        ]
