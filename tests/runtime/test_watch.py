"""Watching a folder: complete files only, each version once, also after a restart."""

import json
import os
import shutil

import pytest

from emo_runtime import ArgumentError
from emo_runtime.watch import AnsweredFiles, FolderWatch, head


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "in"
    path.mkdir()
    return path


def nothing_done(name, version):
    return False


def names(found):
    return [item.name for item in found]


def test_a_file_is_complete_after_it_did_not_change_for_a_while(folder, clock):
    watch = FolderWatch(folder, settle_s=2, clock=clock)
    path = folder / "a.wav"
    path.write_bytes(b"1")
    assert watch.poll(nothing_done) == []
    clock.now += 1.5
    path.write_bytes(b"12")  # still being written
    assert watch.poll(nothing_done) == []
    clock.now += 1.5
    assert watch.poll(nothing_done) == []
    assert not watch.idle
    clock.now += 0.5
    [found] = watch.poll(nothing_done)
    assert (found.name, found.version) == ("a.wav", (2, path.stat().st_mtime_ns))
    assert watch.idle


def test_a_change_of_the_same_size_is_a_change(folder, clock):
    watch = FolderWatch(folder, settle_s=2, clock=clock)
    path = folder / "a.wav"
    path.write_bytes(b"1")
    watch.poll(nothing_done)
    clock.now += 3
    path.write_bytes(b"2")
    stamp = path.stat().st_mtime_ns + 5
    os.utime(path, ns=(stamp, stamp))
    assert watch.poll(nothing_done) == []


def test_names_of_other_files_are_ignored(folder, clock):
    watch = FolderWatch(folder, settle_s=0, clock=clock)
    (folder / ".hidden").mkdir()
    (folder / "sub").mkdir()
    for name in (".a.wav", "a.wav.part", "a.tmp", ".hidden/b.wav", "notes.txt", "sub/c.FLAC"):
        (folder / name).write_bytes(b"1")
    (folder / "folder.wav").mkdir()
    assert names(watch.poll(nothing_done)) == ["sub/c.FLAC"]


def test_a_transcript_of_the_same_stem_is_found_and_must_be_complete(folder, clock):
    watch = FolderWatch(folder, settle_s=2, clock=clock)
    (folder / "a.wav").write_bytes(b"1")
    watch.poll(nothing_done)
    clock.now += 1
    (folder / "a.vtt").write_bytes(b"WEBVTT")
    watch.poll(nothing_done)
    clock.now += 1.5
    assert watch.poll(nothing_done) == []
    clock.now += 0.5
    [found] = watch.poll(nothing_done)
    assert found.transcript == folder / "a.vtt"


def test_suffixes_in_upper_case(folder, clock):
    watch = FolderWatch(folder, settle_s=0, clock=clock)
    (folder / "A.WAV").write_bytes(b"1")
    (folder / "A.TXT").write_text("hola")
    [found] = watch.poll(nothing_done)
    assert found.transcript.name == "A.TXT"


def test_sound_waits_for_its_transcript_as_long_as_asked(folder, clock):
    watch = FolderWatch(folder, settle_s=1, transcript_s=10, clock=clock)
    (folder / "a.wav").write_bytes(b"1")
    (folder / "b.wav").write_bytes(b"1")
    (folder / "b.txt").write_text("hola")
    watch.poll(nothing_done)
    clock.now += 1
    assert names(watch.poll(nothing_done)) == ["b.wav"]
    clock.now += 10
    assert names(watch.poll(nothing_done)) == ["a.wav", "b.wav"]


def test_a_removed_folder_is_an_error(folder, clock):
    watch = FolderWatch(folder, clock=clock)
    shutil.rmtree(folder)
    with pytest.raises(ArgumentError, match="was removed"):
        watch.poll(nothing_done)
    with pytest.raises(ArgumentError, match="no such folder"):
        FolderWatch(folder)


@pytest.mark.parametrize(
    "rest", [b'{"file": "b.wav", "size": 1, "mod', b"{", bytes(100), b'{"file": "b' + bytes(9)]
)
def test_the_record_survives_a_restart_and_a_torn_line(folder, tmp_path, clock, rest):
    watch = FolderWatch(folder, settle_s=0, clock=clock)
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(b"1")
    output = tmp_path / "answers.jsonl"
    with AnsweredFiles(output) as record:
        first = watch.poll(record.is_done)[0]
        record.add(first, head(first) | {"label": "joy"})
    with output.open("ab") as stream:
        stream.write(rest)  # killed while writing
    with AnsweredFiles(output) as record:
        [second] = watch.poll(record.is_done)
        assert second.name == "b.wav"
        record.add(second, head(second) | {"label": "fear"})
        assert watch.poll(record.is_done) == []
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(line["file"], line["label"]) for line in lines] == [
        ("a.wav", "joy"),
        ("b.wav", "fear"),
    ]


def test_a_file_that_changes_after_its_answer_is_answered_again(folder, tmp_path, clock):
    watch = FolderWatch(folder, settle_s=0, clock=clock)
    (folder / "a.wav").write_bytes(b"1")
    with AnsweredFiles(tmp_path / "answers.jsonl") as record:
        [found] = watch.poll(record.is_done)
        record.add(found, head(found))
        (folder / "a.wav").write_bytes(b"longer")
        [again] = watch.poll(record.is_done)
        assert again.version != found.version


def test_one_process_writes_to_a_record(tmp_path):
    pytest.importorskip("fcntl", reason="files are locked on POSIX systems only")
    output = tmp_path / "answers.jsonl"
    with AnsweredFiles(output), pytest.raises(ArgumentError, match="another process"):
        AnsweredFiles(output)
    AnsweredFiles(output).__exit__()


@pytest.mark.parametrize(
    "content", ['{"label": "joy"}\n', '{"label": "joy"}', "label,score\n", "label", "[]\n"]
)
def test_another_file_is_not_a_record_and_is_left_as_it_is(tmp_path, content):
    output = tmp_path / "other.csv"
    output.write_text(content)
    with pytest.raises(ArgumentError, match="not a file of answers"):
        AnsweredFiles(output)
    assert output.read_text() == content
