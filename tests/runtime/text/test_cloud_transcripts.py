"""JSON of cloud services: one document for each layout, as its documentation shows it."""

import json

import pytest

from emo_runtime.text.transcript_json import parse_json
from emo_runtime.text.transcripts import parse_transcript

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
    assert (cue.channel, cue.start_s, cue.end_s) == (1, 0.0, 1.0)


WORD = {"type": "pronunciation", "start_time": "0.0", "end_time": "0.5"}
HOLA = {**WORD, "alternatives": [{"content": "hola"}]}
NO = {**WORD, "start_time": "0.6", "end_time": "1.5", "alternatives": [{"content": "no"}]}
PAIR = [("hola", 0, 0.5), ("no", 0.6, 1.5)]
LAYOUTS = {
    "words in seconds": {
        "words": [
            {"word": "hola", "start": 0, "end": 0.5, "speaker": "A"},
            {"word": "no", "start": 0.6, "end": 1.5, "speaker": "B"},
        ]
    },
    "words in milliseconds": {
        "utterances": None,
        "words": [
            {"text": "hola", "start": 0, "end": 500, "speaker": "A"},
            {"text": "no", "start": 600, "end": 1500, "speaker": "B"},
        ],
    },
    "AWS with channels": {
        "results": {
            "items": [HOLA, NO],
            "channel_labels": {"channels": [{"items": [HOLA]}, {"items": [NO]}]},
        }
    },
    "AWS with a list of speakers": {
        "results": {
            "items": [HOLA, NO],
            "speaker_labels": {
                "segments": [
                    {"items": [{"start_time": "0.0", "speaker_label": "spk_0"}]},
                    {"items": [{"start_time": "0.6", "speaker_label": "spk_1"}]},
                ]
            },
        }
    },
    "Contact Lens": {
        "Transcript": [
            {"BeginOffsetMillis": 0, "EndOffsetMillis": 500, "Content": "hola"},
            {"BeginOffsetMillis": 600, "EndOffsetMillis": 1500, "Content": "no"},
        ]
    },
    "Speechmatics": {
        "results": [
            {**HOLA, "type": "word", "alternatives": [{"content": "hola", "speaker": "S1"}]},
            {**NO, "type": "word", "alternatives": [{"content": "no", "speaker": "S2"}]},
        ]
    },
    "Azure's recognizer": [
        {"RecognitionStatus": "Success", "Offset": 0, "Duration": 5e6, "DisplayText": "hola"},
        {"RecognitionStatus": "InitialSilenceTimeout", "Offset": 5e6, "Duration": 1e6},
        {"RecognitionStatus": "Success", "Offset": 6e6, "Duration": 9e6, "DisplayText": "no"},
    ],
    "Google with objects": {
        "results": [
            {
                "alternatives": [
                    {
                        "transcript": text,
                        "words": [
                            {
                                "word": text,
                                "startTime": {"seconds": 0, "nanos": round(start * 1e9)},
                                "endTime": {"seconds": int(end), "nanos": round(end % 1 * 1e9)},
                            }
                        ],
                    }
                ]
            }
            for text, start, end in PAIR
        ]
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_cue_of_other_layouts_is_lost(layout):
    cues = parse_transcript(json.dumps(LAYOUTS[layout]), ".json", "call.json")
    assert [cue.text for cue in cues] == ["hola", "no"]
    for cue, (_, start, end) in zip(cues, PAIR, strict=True):
        assert (cue.start_s, cue.end_s, cue.problem) == (start, pytest.approx(end), None)
    if layout == "AWS with channels":
        assert [cue.channel for cue in cues] == [0, 1]
    if "speaker" in json.dumps(LAYOUTS[layout]):
        assert None not in {cue.speaker for cue in cues}
