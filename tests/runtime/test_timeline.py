"""Timelines: transcripts are read, sound is cut, each cue is answered independently."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from emo_runtime import AudioError, EmotionRecognizer, MissingExtraError
from emo_runtime.audio.recording import open_recording
from emo_runtime.cli.predict import main
from emo_runtime.plot import clock, plot_timeline
from emo_runtime.text.transcripts import Cue
from helpers.sounds import as_file, speechlike

RATE = 8_000
AGENT, CUSTOMER = speechlike(6, RATE, seed=1), speechlike(6, RATE, seed=2)
CALL = np.stack([AGENT, CUSTOMER], axis=1)


SRT = """1
00:00:00,000 --> 00:00:01,500
hola estoy muy contenta

2
00:00:02,000 --> 00:00:03,250
no puedo más
"""
WHISPERX = {
    "segments": [
        {"start": 0, "end": 1.5, "text": " hola ", "speaker": "SPEAKER_00", "words": []},
        {"start": 2.0, "end": 3.25, "text": "no puedo más"},
    ]
}


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    return EmotionRecognizer.open(tiny_bundle(present_input=True))


@pytest.fixture
def call(tmp_path):
    path = tmp_path / "call.wav"
    path.write_bytes(as_file(CALL, RATE))
    return path


def written(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["path", "bytes", "array", "mono"])
def test_slices(call, form):
    mono = as_file(AGENT, RATE)
    source = {"path": call, "bytes": call.read_bytes(), "array": (CALL, RATE), "mono": mono}[form]
    whole = np.round(CALL * 32767) / 32768
    with open_recording(source) as recording:
        assert recording.duration_s == 6
        assert recording.channels == (1 if form == "mono" else 2)
        late = recording.slice(4.5, 99.0, 0)
        early = recording.slice(0.25, 1.0, 0)
        np.testing.assert_allclose(late.samples, whole[36_000:, 0], atol=2e-4)
        np.testing.assert_allclose(early.samples, whole[2_000:8_000, 0], atol=2e-4)
        assert early.sample_rate == RATE
        if form != "mono":
            both = recording.slice(0.25, 1.0)
            np.testing.assert_allclose(both.samples, whole[2_000:8_000].mean(axis=1), atol=2e-4)
        with pytest.raises(AudioError, match="there is no channel 2"):
            recording.slice(0, 1, 2)
        with pytest.raises(AudioError, match="no sound from 6 s to 7 s"):
            recording.slice(6, 7)
        with pytest.raises(AudioError, match="no sound from"):
            recording.slice(1, 1)


def test_each_cue_is_answered_as_if_it_had_come_alone(recognizer):
    cues = [
        Cue(0, 1.5, "hola estoy", channel=0),
        Cue(1, 2.5, "no puedo más", channel=1),
        Cue(3, 4, "", channel=1),
        Cue(9, 10, "hola"),
        Cue(4, 6, "gracias"),
    ]
    moments = list(recognizer.timeline((CALL, RATE), cues))
    assert [moment.cue for moment in moments] == cues
    expected = [
        recognizer.recognize("hola estoy", (AGENT[:12_000], RATE)),
        recognizer.recognize("no puedo más", (CUSTOMER[8_000:20_000], RATE)),
        recognizer.recognize(audio=(CUSTOMER[24_000:32_000], RATE)),
        None,
        recognizer.recognize("gracias", (CALL[32_000:], RATE)),
    ]
    for moment, answer in zip(moments, expected, strict=True):
        if answer is None:
            assert moment.answer is None
            assert "beyond the end of the recording (6 s)" in str(moment.error)
        else:
            assert moment.answer.scores == answer.scores
            assert moment.answer.task == answer.task


def test_a_bundle_that_knows_only_text(tiny_bundle):
    recognizer = EmotionRecognizer.open(tiny_bundle(text_only=True))
    cues = [Cue(0, 1, "hola"), Cue(1, 2, "")]
    first, second = recognizer.timeline((CALL, RATE), cues)
    assert first.answer.task == "text"
    assert "'audio' is not loaded" in str(second.error)


def test_a_bundle_without_a_task_for_text_answers_the_sound(recognizer, tiny_bundle):
    only_sound = EmotionRecognizer.open(tiny_bundle(present_input=True), tasks=["audio"])
    [moment] = only_sound.timeline((CALL, RATE), [Cue(0, 1.5, "hola", channel=0)])
    assert moment.answer is not None
    assert moment.answer.task == "audio"
    assert moment.answer.scores == recognizer.recognize(audio=(AGENT[:12_000], RATE)).scores


def test_a_recording_that_cannot_be_opened(recognizer):
    with pytest.raises(AudioError, match="nowhere"):
        list(recognizer.timeline("nowhere.wav", [Cue(0, 1, "hola")]))


def run(*arguments):
    return CliRunner().invoke(main, [str(item) for item in arguments])


def test_the_command(tiny_bundle, recognizer, call, tmp_path):
    agent = written(tmp_path, "agent.json", WHISPERX)
    customer = written(tmp_path, "customer.srt", SRT)
    outputs = ["--csv", tmp_path / "course.csv", "--plot", tmp_path / "course.png"]
    options = ["--bundle", tiny_bundle(present_input=True), "--audio", call]
    options += ["--transcript", agent, "--transcript", customer]
    result = run(*options, *outputs)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 4
    assert result.stdout.startswith("00:00.0  SPEAKER_00")
    assert "channel 1" in result.stdout
    document = json.loads(run(*options, "--json").stdout)
    moments = document["moments"]
    assert [moment["start_s"] for moment in moments] == [0, 0, 2, 2]
    assert [moment["channel"] for moment in moments] == [0, 1, 0, 1]
    whole = np.round(CALL * 32767).astype(np.int16)
    alone = recognizer.recognize("hola", (whole[:12_000, 0], RATE))
    assert moments[0]["scores"] == pytest.approx(alone.scores, abs=1e-4)
    with open(tmp_path / "course.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for row, moment in zip(table, moments, strict=True):
        assert (row["text"], row["label"]) == (moment["text"], moment["label"])
        assert float(row["anger"]) == moment["scores"]["anger"]
    assert (tmp_path / "course.png").read_bytes().startswith(b"\x89PNG")


def test_failed_cues_keep_their_position(tiny_bundle, call, tmp_path):
    late = {"segments": [*WHISPERX["segments"], {"start": 50, "end": 51, "text": "tarde"}]}
    result = run(
        *["--bundle", tiny_bundle(), "--audio", call, "--csv", tmp_path / "course.csv"],
        *["--transcript", written(tmp_path, "a.json", late), "--json"],
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: 1 of 3 cues failed")
    moments = json.loads(result.stdout)["moments"]
    assert ["error" in moment for moment in moments] == [False, False, True]
    assert (
        "beyond the end of the recording (6 s)"
        in (tmp_path / "course.csv").read_text().splitlines()[-1]
    )


def test_a_plot_needs_its_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r'pip install "emo-runtime\[plot\]"'):
        plot_timeline(tmp_path / "a.png", [], ["anger"], "title")


def test_a_plot_of_nothing(tmp_path):
    stream = io.BytesIO()
    plot_timeline(stream, [], ["anger", "joy"], "nothing")
    assert stream.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "00:00.0"), (61.25, "01:01.2"), (3_600, "60:00.0"), (-1, "00:00.0")]
)
def test_times_for_people(seconds, shown):
    assert clock(seconds) == shown


def test_transcripts_in_every_form_give_the_same_moments(recognizer, call, tmp_path):
    path = written(tmp_path, "call.srt", SRT)
    cues = [
        Cue(0, 1.5, "hola estoy muy contenta"),
        Cue(2, 3.25, "no puedo más"),
    ]
    dictionaries = [{"start_s": c.start_s, "end_s": c.end_s, "text": c.text} for c in cues]
    expected = [moment.answer.scores for moment in recognizer.timeline(call, iter(cues))]
    for source in (path, str(path), cues, dictionaries):
        assert [m.answer.scores for m in recognizer.timeline(call, source)] == expected


def test_a_bad_cue_costs_no_other(recognizer, call):
    cues = [
        Cue(1, 1, "nada"),
        Cue(60, 61, "tarde"),
        Cue(2, 2, "mal", problem="it has no start"),
        Cue(2, np.inf, "hasta el final"),
    ]
    moments = list(recognizer.timeline(call, cues))
    assert [str(moment.error) for moment in moments[:3]] == [
        "the cue at 1 s has no length: it ends where it starts.",
        "the cue at 60 s is beyond the end of the recording (6 s). Check that the "
        "transcript belongs to the recording.",
        "the cue at 2 s: it has no start.",
    ]
    assert moments[3].cue.end_s == 6
    assert moments[3].answer.duration_s == 4


def test_adjusted_times_are_noted(recognizer, call, tmp_path):
    document = {"segments": [{"start": -1, "end": 1, "text": "a"}, {"start": 2, "text": "b"}]}
    moments = list(recognizer.timeline(call, written(tmp_path, "a.json", document)))
    assert [moment.answer.notes[0].code for moment in moments] == ["cue_adjusted"] * 2


def test_swapped_channels_are_noted(recognizer):
    turns = np.zeros((RATE * 6, 2), np.float32)
    for second in range(6):  # the channels take turns, a second each
        part = slice(second * RATE, (second + 1) * RATE)
        turns[part, second % 2] = CALL[part, 0]
    right = [Cue(second, second + 1, "hola", channel=second % 2) for second in range(6)]
    wrong = [Cue(second, second + 1, "hola", channel=1 - second % 2) for second in range(6)]

    def codes(sound, cues):
        return {
            note.code
            for moment in recognizer.timeline((sound, RATE), cues)
            for note in moment.answer.notes
        }

    assert "channels_swapped" not in codes(turns, right)
    assert "channels_swapped" in codes(turns, wrong)
    assert "channels_swapped" not in codes(turns, wrong[:2])  # two cues prove nothing
    assert "channels_swapped" not in codes(np.repeat(CALL[:, :1], 2, axis=1), wrong)
    assert "channels_swapped" not in codes(CALL[:, 0], [Cue(0, 1, "hola", channel=0)])


def test_the_command_keeps_markup_on_request(tiny_bundle, call, tmp_path):
    content = "1\n00:00:00,000 --> 00:00:02,000\n[Música] señor\n"
    path = tmp_path / "call.srt"
    path.write_bytes(content.encode("cp437"))
    options = ["--bundle", tiny_bundle(present_input=True), "--audio", call, "--json"]
    kept = ["--transcript", path, "--encoding", "cp437", "--keep", "sounds"]
    [moment] = json.loads(run(*options, *kept).stdout)["moments"]
    assert moment["text"] == "[Música] señor"
    for alone in (["--keep", "tags"], ["--encoding", "cp437"]):
        result = run("--bundle", tiny_bundle(), "--text", "hola", *alone)
        assert result.exit_code == 2
        assert "requires" in result.stderr
