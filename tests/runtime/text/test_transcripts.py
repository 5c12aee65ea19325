"""Transcript files: every file of tests/data/cases/transcripts, encodings, and refusals."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime.errors import ArgumentError, TextError
from emo_runtime.text.cues import Cue
from emo_runtime.text.markup import Markup
from emo_runtime.text.transcripts import as_cues, parse_transcript, read_transcript
from helpers.corpora import ROOT

CASES = ROOT / "tests" / "data" / "cases" / "transcripts"

FIRST = Cue(0.0, 3.86, "Buenos días, le atiende Carmen.")
SECOND = Cue(4.26, 9.214, "Hay un cargo que no entiendo.")
BOTH = [FIRST, SECOND]


def first(start, end, text=FIRST.text, speaker=None, problem=None):
    return Cue(start, end, text, speaker, None, problem)


def second(start=4.26, end=9.2, text=SECOND.text, speaker=None, problem=None):
    return Cue(start, end, text, speaker, None, problem)


EXPECTED = {
    "aws.json": [FIRST],
    "beyond_end.vtt": [first(38.0, 59.0), second(60.0, 63.0)],
    "blank_in_text.srt": BOTH,
    "blank_line_after_time.vtt": BOTH,
    "coords.srt": BOTH,
    "cr_only.srt": BOTH,
    "crlf_bom.srt": BOTH,
    "crlf_bom.vtt": BOTH,
    "dash_speakers.vtt": [first(0.0, 3.86, "¿Me oye?"), first(0.0, 3.86, "Sí, le oigo.")],
    "dots.srt": BOTH,
    "empty.srt": [],
    "empty_cue.vtt": [first(0.0, 3.86, ""), SECOND],
    "empty_text.srt": [first(0.0, 3.86, ""), SECOND],
    "end_before_start.vtt": [
        first(3.86, 3.86, problem="it ends at 3.84 s, before its start at 3.86 s"),
        SECOND,
    ],
    "entities.vtt": [first(0.0, 3.86, "Tom & Ana dicen <hola> ya'")],
    "extra_blank.srt": BOTH,
    "from_zero.srt": BOTH,
    "fw_list.json": [FIRST, second()],
    "hf_pipeline.json": [FIRST, second(end=math.inf)],
    "hls_map.vtt": [FIRST],
    "hours3.vtt": [first(360_000.0, 360_003.86)],
    "jsonl.jsonl": [first(0.0, 3.0, "hola")],
    "latin1.srt": [FIRST],
    "negative.srt": BOTH,
    "no_header.vtt": [FIRST],
    "no_hours.srt": [FIRST],
    "no_numbers.srt": BOTH,
    "no_space_arrow.srt": BOTH,
    "note_style_region.vtt": [
        first(0.0, 3.86, speaker="Agente"),
        second(end=9.214, speaker="Cliente"),
    ],
    "number_text.srt": [first(0.0, 3.86, "42"), SECOND],
    "one_digit_hour.srt": BOTH,
    "openai_verbose.json": [FIRST],
    "overlap.vtt": [
        first(0.0, 5.0, speaker="Agente"),
        second(4.0, 9.214, speaker="Cliente"),
    ],
    "plain.srt": BOTH,
    "seconds60.srt": [first(59.0, 60.0)],
    "t.tsv": [first(0.0, 3.86, "hola")],
    "tags.srt": BOTH,
    "teams.vtt": [first(0.0, 3.86, speaker="Carmen R.")],
    "times_without_blank.vtt": [first(0.0, 3.86, ""), SECOND],
    "two_digit_ms.srt": [FIRST, second(end=9.21)],
    "unsorted.vtt": [SECOND, FIRST],
    "utf16.vtt": [FIRST],
    "wc_bad_utf8.json": [first(0.0, 3.86, "Buenos días")],
    "wc_full.json": [FIRST],
    "wc_music.json": [
        first(start, end, "") for start, end in [(0.0, 3.86), (4.26, 9.2), (10.0, 12.0), (12, 14)]
    ],
    "wc_speaker.json": [FIRST, second(speaker="1")],
    "wc_ts_only.json": [FIRST],
    "webvtt_header_text.vtt": [FIRST],
    "whisperx_prefix.srt": [
        first(0.0, 3.86, speaker="SPEAKER_00"),
        second(end=9.214, speaker="SPEAKER_01"),
    ],
    "wx_end_before_start.json": [FIRST, second(9.2, math.inf)],
    "wx_hms_times.json": [FIRST],
    "wx_missing_start.json": [FIRST, second(3.86, 3.86, problem="it has no start")],
    "wx_nan.json": [FIRST, second(3.86, 3.86, problem="its start is nan")],
    "wx_null_end.json": [FIRST, second(end=math.inf)],
    "wx_speaker_null.json": [FIRST, second()],
    "wx_str_times.json": [FIRST],
    "wx_text_null.json": [first(0.0, 3.86, "", problem="it has no text"), second()],
    "wx_words_no_times.json": [FIRST, second()],
    "youtube.vtt": [
        first(0.03, 2.5, "buenos días le atiende"),
        first(2.5, 2.51, "buenos días le atiende"),
        first(2.51, 4.5, "buenos días le atiende Carmen en qué"),
    ],
    "zero_length.vtt": [first(3.86, 3.86), SECOND],
    "zoom.vtt": [
        first(0.0, 3.86, "Buenos días.", "Carmen R."),
        second(end=9.214, speaker="Cliente"),
    ],
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_case(name):
    assert read_transcript(CASES / name) == EXPECTED[name]


def test_every_case_is_listed():
    refused = {"t.txt"}
    assert {path.name for path in CASES.iterdir()} == set(EXPECTED) | refused


@pytest.mark.parametrize("name", ["plain.srt", "crlf_bom.vtt", "fw_list.json", "t.tsv"])
def test_a_channel_for_all_cues(name):
    assert {cue.channel for cue in read_transcript(CASES / name, channel=1)} == {1}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252", "latin-1"])
@pytest.mark.parametrize("name", ["plain.srt", "crlf_bom.vtt", "fw_list.json"])
def test_encodings_are_detected(tmp_path, name, encoding):
    text = (CASES / name).read_text(encoding="utf-8-sig")
    (tmp_path / name).write_bytes(text.encode(encoding))
    if name.endswith(".json") and encoding in {"cp1252", "latin-1"}:  # JSON is Unicode
        [cue, _] = read_transcript(tmp_path / name, encoding=encoding)
    else:
        [cue, _] = read_transcript(tmp_path / name)
    assert cue.text == FIRST.text


def test_the_ending_may_be_unknown_or_wrong(tmp_path):
    for source, name in [("plain.srt", "a.txt"), ("plain.srt", "a.vtt"), ("teams.vtt", "a.srt")]:
        (tmp_path / name).write_bytes((CASES / source).read_bytes())
        assert read_transcript(tmp_path / name) == EXPECTED[source]
    (tmp_path / "a.out").write_bytes((CASES / "fw_list.json").read_bytes())
    assert read_transcript(tmp_path / "a.out") == EXPECTED["fw_list.json"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "hola", r"a\.txt: give a transcript with times as \.vtt, \.srt"),
        ("a.vtt", "hola", "no cue found"),
        ("a.json", "{", "not valid JSON"),
        ("a.json", '{"spoken": []}', "keys found: 'spoken'"),
        ("a.json", '{"results": [{"other": 1}]}', "no cue found"),
        ("a.txt", "[Script Info]\n", "give a transcript with times"),
        ("a.tsv", "a\tb\n1\t2\n", r"columns found: 'a', 'b'"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(TextError, match=message):
        read_transcript(tmp_path / name)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(TextError, match="No such file"):
        read_transcript(tmp_path / "missing.vtt")
    with pytest.raises(TextError, match="unknown encoding"):
        read_transcript(CASES / "plain.srt", encoding="klingon")
    with pytest.raises(TextError, match="transcript: a int"):
        read_transcript(5)
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(TextError, match="larger than 67,108,864 bytes"):
        read_transcript(tmp_path / "huge.json")


def test_a_broken_row_of_a_tsv_is_its_own_problem():
    content = "start\tend\ttext\n0\t1000\thola\nx\t2000\tno\n2000\n2000\t3000\tsigo\n"
    cues = parse_transcript(content, ".tsv", "a.tsv")
    assert [cue.problem is None for cue in cues] == [True, False, False, True]


def test_markup_can_be_kept():
    [cue] = parse_transcript(
        "00:00.0 --> 00:01.0\n[Música] &amp;\n", ".srt", "a", None, Markup(True, True)
    )
    assert cue.text == "[Música] &amp;"


def test_cues_in_every_form():
    path = CASES / "plain.srt"
    dictionary = {"start": 0, "end": 3.86, "text": FIRST.text, "ignored": 1}
    assert list(as_cues(path)) == list(as_cues(str(path))) == BOTH
    assert list(as_cues([FIRST, {"start_s": 4.26, "end_s": 9.214, "text": SECOND.text}])) == BOTH
    assert list(as_cues(cue for cue in [dictionary])) == [FIRST]
    [cue] = as_cues([dictionary | {"channel": 1, "speaker": 7}])
    assert (cue.channel, cue.speaker) == (1, "7")


@pytest.mark.parametrize(
    "wrong",
    [5, None, b"a.vtt", {"start": 0}, [5], [{}], [{"start": "0", "end": 1}],
     [{"start": 0, "end": 1, "text": 5}], [{"start": 0, "end": 1, "channel": "left"}],
     [Cue(0, None, "hola")], [Cue("0", 1, "hola")], [Cue(0, 1, None)],  # type: ignore[arg-type]
     [Cue(0, 1, "hola", channel="left")]],  # type: ignore[arg-type]
    ids=repr,
)  # fmt: skip
def test_an_invalid_cue_is_a_text_error(wrong):
    with pytest.raises(TextError):
        list(as_cues(wrong))


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        (math.nan, 1.0, "its start is nan"),
        (0.0, math.nan, "its end is nan"),
        (10**400, 10**400, "its start is inf"),
        (2.0, 1.0, "it ends at 1 s, before its start at 2 s"),
        (0.0, math.inf, None),
        (np.float32(0), np.int64(1), None),
    ],
)
def test_times_that_are_not_usable_are_the_problem_of_a_cue(start, end, problem):
    [cue] = as_cues([Cue(start, end, "hola")])
    assert cue.problem == problem
    if problem is None:
        assert (cue.start_s, cue.end_s) == (start, end)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"channel": "left"}, ArgumentError, "channel='left': give a whole number"),
        ({"channel": -1}, ArgumentError, "channel=-1"),
        ({"markup": "tags"}, ArgumentError, "markup is of type str"),
        ({"encoding": 5}, TextError, "unknown encoding 5"),
        ({"encoding": "utf-8\0"}, TextError, "unknown encoding"),
        ({"encoding": "base64"}, TextError, "unknown encoding 'base64'"),
    ],
    ids=str,
)
def test_arguments_that_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        read_transcript(CASES / "plain.srt", **options)


@pytest.mark.parametrize("separator", ["\u2028", "\x85"])
def test_only_line_ends_divide_lines(separator):
    text = f"hola{separator}gracias"
    line = json.dumps({"start": 0, "end": 1, "text": text}, ensure_ascii=False)
    for content, suffix in (
        (f"{line}\r\n{line}\n", ".jsonl"),
        (f"start\tend\ttext\r\n0\t1000\t{text}\r\n0\t1000\t{text}\n", ".tsv"),
    ):
        cues = parse_transcript(content, suffix, "a")
        assert cues == [Cue(0, 1, "hola gracias")] * 2


@settings(max_examples=150, deadline=None)
@given(
    content=st.one_of(
        st.text(max_size=80),
        st.recursive(
            st.none() | st.floats() | st.text(max_size=5) | st.integers(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["segments", "results", "text", "start", "end", "items", "words"]
                    ),
                    inner,
                    max_size=3,
                )
            ),
        ).map(json.dumps),
    ),
    suffix=st.sampled_from([".vtt", ".srt", ".json", ".jsonl", ".tsv", ""]),
)
def test_any_content_gives_cues_or_a_text_error(content, suffix):
    try:
        cues = parse_transcript(content, suffix, "a")
    except TextError as error:
        assert str(error).startswith("a")  # noqa: PT017
        return
    for cue in cues:
        assert 0 <= cue.start_s <= cue.end_s
        assert math.isfinite(cue.start_s)
