"""Subtitles: no cue of a file is lost, and times are those that players read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.text.subtitles import parse_subtitles, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:03,860", 3.86),
        ("00:00:03.860", 3.86),
        ("00:00:03,86", 3.86),
        ("00:03,8", 3.8),
        ("03.860", 3.86),
        ("12", 12.0),
        ("100:00:00.000", 360_000.0),
        ("0:59:60.5", 3600.5),
        ("-00:00:01,000", -1.0),
        ("00:00:03:860", 3.86),
        ("00 : 00 : 03, 860", 3.86),
        ("00:00:03:12", None),
        ("1:2:3:456.7", None),
        ("a:b", None),
        ("9" * 400, None),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_every_time_of_the_formats(hours, minutes, seconds, milliseconds):
    exact = (hours * 3600_000 + minutes * 60_000 + seconds * 1000 + milliseconds) / 1000
    tail = f"{minutes:02}:{seconds:02}"
    assert parse_time(f"{hours:02}:{tail}.{milliseconds:03}") == exact
    assert parse_time(f"{hours:02}:{tail},{milliseconds:03}") == exact


spoken = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029->"),
    min_size=1,
    max_size=20,
).filter(lambda line: line.strip() and not line.strip().isdigit())
spoken = spoken.filter(lambda line: line.split()[0] not in {"NOTE", "STYLE", "REGION"})
instants = st.integers(0, 10_000_000)
cues = st.tuples(instants, instants, st.lists(spoken, max_size=3))


def stamp(milliseconds, comma, *, hours):
    seconds, fraction = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    head = f"{minutes // 60:02}:{minutes % 60:02}" if hours or minutes >= 60 else f"{minutes:02}"
    return f"{head}:{seconds:02}{comma}{fraction:03}"


@given(
    made=st.lists(cues, max_size=6),
    vtt=st.booleans(),
    numbered=st.booleans(),
    blank_lines=st.integers(1, 3),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    settings_=st.sampled_from(["", " align:start position:0%", " X1:10 X2:20"]),
    arrow=st.sampled_from([" --> ", "-->", "\t-->\t", " -> "]),
    hours=st.booleans(),
    comma=st.sampled_from([",", "."]),
)
def test_cues_out_are_cues_in(
    made, vtt, numbered, blank_lines, newline, settings_, arrow, hours, comma
):
    lines = ["WEBVTT", "", "NOTE made by a test", "of two lines", ""] if vtt else []
    for number, (start, end, text) in enumerate(made, start=1):
        lines += [str(number)] * numbered
        times = stamp(start, comma, hours=hours) + arrow + stamp(end, comma, hours=hours)
        lines += [times + settings_, *text, *[""] * blank_lines]
    found = parse_subtitles(newline.join(lines))
    assert [(cue.start_s, cue.end_s, cue.text) for cue in found] == [
        (start / 1000, end / 1000, "\n".join(text)) for start, end, text in made
    ]


@given(st.text(st.sampled_from("0123456789:., \n\r->WEBVTTNOTE\tñ\u2028"), max_size=200))
def test_every_line_with_times_is_a_cue(content):
    lines = re.split(r"\r\n|\r|\n", content)
    sure = [
        line
        for line in lines
        if re.fullmatch(r"\d\d:\d\d:\d\d[.,]\d{3} --> \d\d:\d\d:\d\d[.,]\d{3}", line)
    ]
    assert len(parse_subtitles(content)) >= len(sure)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("1\n00:00,000 --> 00:01,000\nhola\n2\n00:01,000 --> 00:02,000\nno\n", ["hola", "no"]),
        ("00:00.0 --> 00:01.0\nquedan\n\n42\n\n00:01.0 --> 00:02.0\nno\n", ["quedan\n\n42", "no"]),
        ("00:00.0 --> 00:01.0\nde aquí --> allí\n", ["de aquí --> allí"]),
        ("WEBVTT\n00:00.0 --> 00:01.0\nhola\n", ["hola"]),
        ("WEBVTT\n\nSTYLE\n::cue { }\n\n00:00.0 --> 00:01.0\nhola\n\nNOTE x\ny\n", ["hola"]),
        ("00:00.0 --> 00:01.0\nhola\n\nNOTE esto se dice\n", ["hola\n\nNOTE esto se dice"]),
        ("00:00.0 \u2192 00:01.0\nhola\n", ["hola"]),
        ("", []),
        ("WEBVTT", []),
    ],
)
def test_layouts(content, texts):
    assert [cue.text for cue in parse_subtitles(content)] == texts


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("00:xx:01 --> 00:02", "its times cannot be read: '00:xx:01 --> 00:02'"),
        ("--> 00:00:02,000", "its times cannot be read"),
        ("00:00:01:12 --> 00:00:02:12", "its times cannot be read"),
        ("00:00:03.860 --> 00:00:03.840", "it ends at 3.84 s, before its start at 3.86 s"),
    ],
)
def test_a_cue_with_wrong_times_is_kept_with_its_problem(line, problem):
    content = f"1\n{line}\nhola\n\n2\n00:00:04,000 --> 00:00:05,000\nsigo\n"
    wrong, right = parse_subtitles(content)
    assert wrong.text == "hola"
    assert wrong.problem.startswith(problem)
    assert (right.start_s, right.end_s, right.text, right.problem) == (4.0, 5.0, "sigo", None)


@pytest.mark.parametrize(
    "line",
    [
        "00:00:01,000 ==> 00:00:02,500",
        "00:00:01,000 - 00:00:02,500",
        "0:00:01.000,0:00:02.500",
        "1.0s --> 2.5s",
        "\u200e00:00:01,000\u200b --> 00:00:02,500",
        "00\uff1a00\uff1a01,000 --> 00\uff1a00\uff1a02,500",
        "\uff10\uff10:01,000 --> 00:02,500",
    ],
)
def test_other_separators_and_invisible_characters(line):
    first, second = parse_subtitles(f"1\n00:00,000 --> 00:00,500\nhola\n\n2\n{line}\nadiós\n")
    assert (first.text, second.text, second.problem) == ("hola", "adiós", None)
    assert (second.start_s, second.end_s) == (1.0, 2.5)


def test_the_console_output_of_whisper():
    content = "[00:00.000 --> 00:03.860]  Buenos días\n[00:00:04.260 --> 00:00:09.214]   No.\n"
    cues = parse_subtitles(content)
    assert [(cue.start_s, cue.end_s, cue.text.strip()) for cue in cues] == [
        (0.0, 3.86, "Buenos días"),
        (4.26, 9.214, "No."),
    ]


@pytest.mark.parametrize("text", ["de 10:30 --> 11:00 estoy libre", "10:30:00 - 11", "a --> b"])
def test_arrows_and_times_in_the_text_are_text(text):
    cues = parse_subtitles(
        f"00:01.000 --> 00:02.000\nhola\n{text}\n\n00:03.000 --> 00:04.000\nno\n"
    )
    assert [cue.text for cue in cues] == [f"hola\n{text}", "no"]
