"""emo-predict --watch as an operator runs it: a folder that grows, a restart, bad files."""

import json
import shutil
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from emo_runtime import EmotionRecognizer
from emo_runtime.cli.predict import main
from emo_runtime.watch import FolderWatch
from helpers.corpora import CLIPS
from helpers.processes import environment, wait_until

FAST = ("--settle", "0.2", "--poll", "0.05")


@pytest.fixture(scope="module")
def bundle():
    return "emo-es-small"  # it has all three tasks


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    return path


def watch(folder, bundle, *arguments):
    words = ["--watch", folder, "--bundle", bundle, *FAST, *arguments]
    return CliRunner().invoke(main, [str(word) for word in words])


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_once_answers_what_is_there(folder, bundle):
    shutil.copy(CLIPS / "miedo.flac", folder / "a.flac")
    shutil.copy(CLIPS / "miedo.flac", folder / "b.flac")
    (folder / "b.txt").write_text("no puedo más", encoding="utf-8")
    shutil.copy(CLIPS / "queja.flac", folder / "c.flac")
    (folder / "c.vtt").write_text(
        "WEBVTT\n\n00:00.000 --> 00:01.000\nhola\n\n00:01.000 --> 00:02.000\ngracias por todo\n"
    )
    result = watch(folder, bundle, "--once")
    assert result.exit_code == 0, result.output
    sound, both, cues = lines(result.stdout)
    with EmotionRecognizer.open(bundle) as recognizer:
        assert sound["scores"] == recognizer.recognize(audio=folder / "a.flac").scores
        assert both["scores"] == recognizer.recognize("no puedo más", folder / "b.flac").scores
    assert [item["text"] for item in cues["moments"]] == ["hola", "gracias por todo"]
    assert [item["transcript"] for item in (sound, both, cues)] == [None, "b.txt", "c.vtt"]


def test_bad_files_are_lines_too_and_the_rest_is_answered(folder, bundle):
    (folder / "a.wav").write_bytes(b"not a sound")
    (folder / "b.wav").write_bytes(b"")
    shutil.copy(CLIPS / "miedo.flac", folder / "c.flac")
    shutil.copy(CLIPS / "miedo.flac", folder / "d.flac")
    (folder / "d.txt").write_bytes(b"\xff\xfe\xfa")
    result = watch(folder, bundle, "--once")
    assert result.exit_code == 1
    assert "3 of 4 files failed" in result.stderr
    kinds = {item["file"]: item.get("kind") for item in lines(result.stdout)}
    assert kinds == {"a.wav": "AudioError", "b.wav": "AudioError", "c.flac": None,
                     "d.flac": "TextError"}  # fmt: skip


def test_a_transcript_that_disappears_is_an_error_of_its_file_only(folder, bundle, monkeypatch):
    find = FolderWatch.poll

    def find_and_remove_transcripts(watch, is_done):
        found = find(watch, is_done)
        for item in found:
            if item.transcript is not None:
                item.transcript.unlink()
        return found

    monkeypatch.setattr(FolderWatch, "poll", find_and_remove_transcripts)
    for name in ("a", "b", "c"):
        shutil.copy(CLIPS / "miedo.flac", folder / f"{name}.flac")
    (folder / "a.txt").write_text("hola")
    (folder / "b.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nhola\n")
    result = watch(folder, bundle, "--once")
    assert result.exit_code == 1
    kinds = {item["file"]: item.get("kind") for item in lines(result.stdout)}
    assert kinds == {"a.flac": "TextError", "b.flac": "TextError", "c.flac": None}


def test_a_growing_file_is_answered_once_and_a_restart_repeats_nothing(folder, bundle, tmp_path):
    """The recorder writes a file piece by piece; the process is then killed and started again."""
    output = tmp_path / "answers.jsonl"
    words = ["-m", "emo_runtime.cli.predict", "--watch", folder, "--bundle", bundle]
    words += ["--output", output, "--settle", "1", "--poll", "0.05"]
    data = (CLIPS / "miedo.flac").read_bytes()

    def start():
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def answered():
        return lines(output.read_text(encoding="utf-8")) if output.exists() else []

    first = start()
    try:
        assert b"watching" in first.stderr.readline()
        with (folder / "call.flac").open("wb") as stream:
            for position in range(0, len(data), 8000):
                stream.write(data[position : position + 8000])
                stream.flush()
        wait_until(lambda: len(answered()) == 1)
        first.kill()  # no chance to write anything at the end
        first.wait()
    finally:
        first.kill()
        first.stderr.close()
    second = start()
    try:
        assert b"watching" in second.stderr.readline()
        shutil.copy(CLIPS / "queja.flac", folder / "later.flac")
        wait_until(lambda: len(answered()) == 2)
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 143
    finally:
        second.kill()
        second.stderr.close()
    found = answered()
    assert [item["file"] for item in found] == ["call.flac", "later.flac"]
    assert found[0]["size"] == len(data)
    with EmotionRecognizer.open(bundle) as recognizer:
        whole = recognizer.recognize(audio=CLIPS / "miedo.flac")
    assert found[0]["scores"] == whole.scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--once", "--text", "hola"], "--once requires --watch."),
        (["--settle", "1", "--text", "hola"], "--settle requires --watch."),
        (["--watch", ".", "--text", "hola"], "or --watch FOLDER."),
        (["--output", "x", "--text", "hola"], "--output requires --ray"),
        (["--watch", ".", "--delimiter", ";"], "--delimiter requires --input."),
        (["--watch", ".", "--workers", "2"], "--workers requires --ray."),
    ],
)
def test_wrong_usage(arguments, message):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_no_such_folder(bundle, tmp_path):
    result = watch(tmp_path / "none", bundle)
    assert result.exit_code == 1
    assert "no such folder" in result.stderr
