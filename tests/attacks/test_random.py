"""Property tests of containers, rows, transcripts and tokenizers.

(Manifests: tests/runtime/bundle/test_manifest.py; graphs: test_graph_check.py; WAV: test_wav.py.)
Each run draws new examples; the findings of atheris are in tests/fuzz/found.
"""

import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emo_runtime import AudioError, BundleError, TextError, read_transcript
from emo_runtime.audio.decode import decode
from emo_runtime.audio.formats import inspect
from emo_runtime.rows import Row, RowError, RowFormat, read_rows
from emo_runtime.text.tokenizer_check import check_tokenizer
from helpers.sounds import as_file, speechlike

HEADS = [b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM", b".snd", b"ID3", b"\xff\xfb"]
WORDS = [b"WAVE", b"AIFF", b"AIFC", b"fmt ", b"data", b"LIST", b"INFO", b"COMM", b"SSND", b"ds64"]
pieces = st.one_of(
    st.sampled_from([*HEADS, *WORDS]),
    st.binary(max_size=8),
    st.integers(0, 2**32 - 1).map(lambda number: number.to_bytes(4, "little")),
)


def is_a_message(error: Exception) -> None:
    """Check that a message is meant for users: it names an object and no Python internals."""
    text = str(error)
    assert len(text) <= 500
    assert text.endswith((".", ")", "]", "'")), text
    assert len(text.split()) >= 4, text
    for internal in ("Traceback", "NoneType", "object at 0x", "Errno", "list index"):
        assert internal not in text, text


@settings(max_examples=150)
@given(st.lists(pieces, max_size=20).map(b"".join))
def test_any_first_bytes_are_a_container_or_refused(data):
    try:
        found = inspect(io.BytesIO(data), "sound")
    except AudioError as error:
        assert str(error).startswith("sound: ")  # noqa: PT017
    else:
        assert found.parts


SOUNDS = {
    kind: as_file(speechlike(0.1, 8_000), 8_000, kind) for kind in ("FLAC", "OGG", "MP3", "AIFF")
}


@pytest.mark.parametrize("kind", SOUNDS)
@settings(max_examples=30)
@given(data=st.data())
def test_damaged_sounds_are_read_or_refused(kind, data):
    damaged = bytearray(SOUNDS[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(damaged)).samples.ndim == 1
    except AudioError as error:
        is_a_message(error)


lines = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ['"', "text,audio,id", "hola,,1", '"a\nb",,', "\x00", "\ufeff", "{", '{"text":']
    ),
    st.dictionaries(
        st.sampled_from(["text", "audio", "id", "x"]), st.none() | st.text() | st.integers()
    ).map(json.dumps),
)


@settings(max_examples=200)
@given(st.lists(lines, max_size=8).map("\n".join), st.sampled_from([None, "csv", "jsonl"]))
@example("", "csv")
@example('text\n"', "csv")
def test_any_table_is_rows_or_refused(tmp_path_factory, content, wanted):
    try:
        rows = list(
            read_rows(
                io.StringIO(content, newline=""),
                RowFormat(wanted),
                tmp_path_factory.getbasetemp(),
                None,
            )
        )
    except RowError as error:
        is_a_message(error)
        return
    assert all(isinstance(row, Row) for row in rows)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))


stamps = st.sampled_from(
    [
        "00:00:00.000 --> 00:00:01.000",
        "00:00:00,000 --> 99:99:99,999",
        "-1 --> 1",
        "1 -->",
        "WEBVTT",
    ]
)
blocks = st.one_of(
    stamps, st.text(max_size=20), st.sampled_from(["", "1", "<v Ana>hola", "NOTE x"])
)


@pytest.mark.parametrize("kind", ["vtt", "srt", "json"])
@settings(max_examples=100)
@given(data=st.data())
def test_any_transcript_is_cues_or_refused(tmp_path_factory, kind, data):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    if kind == "json":
        value = st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["segments", "start", "end", "text", "transcription", "offsets"]
                    ),
                    inner,
                )
            ),
            max_leaves=12,
        )
        content = json.dumps(data.draw(value))
    else:
        content = "\n".join(data.draw(st.lists(blocks, max_size=12)))
        content = ("WEBVTT\n\n" if kind == "vtt" else "") + content
    path.write_text(content, encoding="utf-8", errors="replace", newline="")
    try:
        cues = read_transcript(path)
    except TextError as error:
        is_a_message(error)
    else:
        assert all(0 <= cue.start_s <= cue.end_s for cue in cues)


@settings(max_examples=100)
@given(
    st.recursive(
        st.none() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["Regex", "type", "pattern", "content"]), inner)
        ),
        max_leaves=10,
    )
)
def test_any_steps_of_a_tokenizer_are_checked(value):
    data = json.dumps({"normalizer": value, "pre_tokenizer": value}).encode()
    try:
        check_tokenizer(data, "tokenizer.json")
    except BundleError as error:
        assert "refused" in str(error)  # noqa: PT017
