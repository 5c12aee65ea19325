from collections.abc import Callable
from pathlib import Path

import pytest

from emo_models.data.corpora import (
    check_disjoint,
    merged,
    read_csv,
    read_videos,
    with_groups,
    without,
)
from emo_models.data.datasets import Tables, read_dataset
from emo_models.errors import DataError
from emo_models.labels import LABELS
from helpers.corpora import DATA, needs

Table = Callable[..., Path]
COLUMNS = ("id", "label", "text")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("b", "fury", "hola"), "row 2: unknown label 'fury'. Expected one of: anger, disgust"),
        (("b", "joy", "  "), "row 2: the text is empty"),
        (("a", "joy", "hola"), "row 2: the id 'a' stands already in .*row 1"),
        (("b", "joy"), "row 2: has not the 3 fields"),
        (("b", "joy", "hola", "more"), "row 2: has not the 3 fields"),
    ],
)
def test_a_bad_row_is_named(
    tmp_path: Path, write_table: Table, row: tuple[str, ...], message: str
) -> None:
    path = write_table(tmp_path / "t.csv", COLUMNS, [("a", "joy", "hola"), row])
    with pytest.raises(DataError, match=message):
        read_csv(path, need_text=True)


def test_bad_tables_are_named(tmp_path: Path, write_table: Table) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: no such file"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="no column 'label'"):
        read_csv(write_table(tmp_path / "t.csv", ("id", "text"), [("a", "b")]))
    with pytest.raises(DataError, match="no column 'text' or 'transcription'"):
        read_csv(write_table(tmp_path / "t.csv", ("id", "label"), [("a", "joy")]), need_text=True)
    with pytest.raises(DataError, match="has no rows"):
        read_csv(write_table(tmp_path / "t.csv", COLUMNS, []))
    (tmp_path / "t.csv").write_bytes(b"label,text\njoy,\xff\xfe\n")
    with pytest.raises(DataError, match="not a CSV file in UTF-8"):
        read_csv(tmp_path / "t.csv")


def test_sound_is_found_or_missed_by_row(tmp_path: Path, write_table: Table) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    (folder / "a.mp3").touch()
    path = write_table(
        tmp_path / "t.csv", COLUMNS, [("a.mp3", "joy", "uno"), ("b.mp3", "joy", "x")]
    )
    with pytest.raises(DataError, match=r"row 2: the sound file .*b\.mp3 is missing"):
        read_csv(path, audio_folder=folder, need_audio=True)
    with pytest.raises(DataError, match="row 1: names no sound file"):
        read_csv(path, need_audio=True)
    path = write_table(tmp_path / "t.csv", ("file", "label"), [("audio/a.mp3", "joy")])
    assert read_csv(path, need_audio=True)[0].audio == folder / "a.mp3"


def test_splits_are_read_by_their_column(tmp_path: Path, write_table: Table) -> None:
    rows = [("a", "joy", "uno", "train"), ("b", "fear", "dos", "test")]
    path = write_table(tmp_path / "t.csv", (*COLUMNS, "split"), rows)
    assert [row.id for row in read_csv(path, split="test")] == ["b"]
    assert [row.id for row in read_csv(path)] == ["a", "b"]
    with pytest.raises(DataError, match="no rows of split 'dev'"):
        read_csv(path, split="dev")


def test_a_leak_is_refused_unless_allowed(tmp_path: Path, write_table: Table) -> None:
    train = write_table(tmp_path / "train.csv", COLUMNS, [("a", "joy", "uno"), ("b", "joy", "dos")])
    test = write_table(tmp_path / "test.csv", COLUMNS, [("c", "joy", "tres"), ("b", "joy", "dos")])
    tables = Tables(train=(train,), test=(test,))
    with pytest.raises(DataError, match=r"test\.csv, row 2: the id 'b' stands in the training"):
        read_dataset(tables)
    assert len(read_dataset(tables, allow_leak=True).train) == 2
    held_out = Tables(train=(train,), exclude=(test,), test=(test,))
    assert [row.id for row in read_dataset(held_out).train] == ["a"]


def test_rows_are_held_out_by_id_by_text_and_by_group(tmp_path: Path, write_table: Table) -> None:
    rows = [("a", "joy", "uno", "v1"), ("b", "joy", "dos", "v2"), ("c", "joy", "tres", "v3")]
    corpus = read_csv(write_table(tmp_path / "t.csv", (*COLUMNS, "video"), rows))
    held = read_csv(
        write_table(tmp_path / "h.csv", (*COLUMNS, "video"), [("x", "joy", " uno ", "v3")])
    )
    assert [row.id for row in without(corpus, held)] == ["b", "c"]
    assert [row.id for row in without(corpus, held, groups=True)] == ["b"]
    assert merged(corpus, corpus) == corpus
    check_disjoint(corpus, held)


@needs("emospeech")
def test_nothing_of_emospeech_test_is_trained_on() -> None:
    emospeech, meacorpus = DATA / "emospeech", DATA / "meacorpus"
    data = read_dataset(
        Tables(
            train=(emospeech / "train.csv",),
            extra=(meacorpus / "meacorpus-2023.csv",),
            exclude=(emospeech / "test.csv",),
            test=(emospeech / "test.csv",),
            unseen_test=(emospeech / "test.csv", meacorpus / "meacorpus-2023.csv"),
            videos=meacorpus,
        )
    )
    test = data.tests["emospeech_test"]
    assert len(test) == 750
    assert not {row.id for row in data.train} & {row.id for row in test}
    assert not {row.text for row in data.train} & {row.text for row in test}
    official = {row.id for row in read_csv(emospeech / "train.csv")}
    videos = {row.group for row in test}
    assert not [row for row in data.train if row.id not in official and row.group in videos]
    for name in ("emospeech_test_unseen", "meacorpus_2023_unseen"):
        assert not {row.group for row in data.tests[name]} & {row.group for row in data.train}


@needs("meacorpus")
def test_videos_are_those_of_the_segments_table() -> None:
    videos = read_videos(DATA / "meacorpus")
    assert len(videos) == 5129
    assert len(set(videos.values())) == 3006
    rows = with_groups(read_csv(DATA / "emospeech" / "test.csv"), videos)
    assert all(row.group for row in rows)


@needs("nemo")
@needs("ravdess")
def test_clips_have_sound_label_and_speaker() -> None:
    nemo = read_csv(DATA / "nemo" / "nemo.csv", need_audio=True)
    ravdess = read_csv(DATA / "ravdess" / "ravdess.csv", need_audio=True)
    assert (len(nemo), len({row.group for row in nemo})) == (1420, 9)
    assert (len(ravdess), len({row.group for row in ravdess})) == (528, 24)
    assert {LABELS[row.label] for row in nemo} == set(LABELS) - {"disgust"}
    assert {LABELS[row.label] for row in ravdess} == set(LABELS)
