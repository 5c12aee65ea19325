from collections.abc import Callable
from pathlib import Path

import pytest

from emo_models.data.corpora import (
    Needs,
    Row,
    TableFormat,
    check_disjoint,
    merged,
    read_csv,
    read_videos,
    with_groups,
    without,
)
from emo_models.data.datasets import (
    Tables,
    check_classes,
    missing_classes,
    read_dataset,
    targets_of,
)
from emo_models.errors import DataError
from emo_models.labels import LABELS, parse_label_map
from helpers.corpora import DATA, needs

Table = Callable[..., Path]
COLUMNS = ("id", "label", "text")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("b", "", "hola"), "row 2: the label is empty"),
        (("b", "joy", "  "), "row 2: the text is empty"),
        (("a", "joy", "hola"), "row 2: the id 'a' is already used in .*row 1"),
        (("b", "joy"), "row 2: the row has 2 fields, the header names 3"),
        (("b", "joy", "hola", "more"), "row 2: the row has 4 fields"),
    ],
)
def test_a_bad_row_is_named(
    tmp_path: Path, write_table: Table, row: tuple[str, ...], message: str
) -> None:
    path = write_table(tmp_path / "t.csv", COLUMNS, [("a", "joy", "hola"), row])
    with pytest.raises(DataError, match=message):
        read_csv(path, needs=Needs(text=True))


def test_bad_tables_are_named(tmp_path: Path, write_table: Table) -> None:
    with pytest.raises(DataError, match=r"absent\.csv: No such file"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="no column 'label' in the header"):
        read_csv(write_table(tmp_path / "t.csv", ("id", "text"), [("a", "b")]))
    with pytest.raises(DataError, match="no column 'text' or 'transcription'"):
        read_csv(
            write_table(tmp_path / "t.csv", ("id", "label"), [("a", "joy")]), needs=Needs(text=True)
        )
    with pytest.raises(DataError, match="has no rows"):
        read_csv(write_table(tmp_path / "t.csv", COLUMNS, []))
    with pytest.raises(DataError, match="unknown encoding 'klingon'"):
        read_csv(tmp_path / "t.csv", layout=TableFormat(encoding="klingon"))


def test_sound_is_found_or_missed_by_row(tmp_path: Path, write_table: Table) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    (folder / "a.mp3").touch()
    path = write_table(
        tmp_path / "t.csv", COLUMNS, [("a.mp3", "joy", "uno"), ("b.mp3", "joy", "x")]
    )
    with pytest.raises(DataError, match=r"row 2: the sound file .*b\.mp3 is missing"):
        read_csv(path, audio_folder=folder, needs=Needs(audio=True))
    with pytest.raises(DataError, match="row 1: names no sound file"):
        read_csv(path, needs=Needs(audio=True))
    path = write_table(tmp_path / "t.csv", ("file", "label"), [("audio/a.mp3", "joy")])
    assert read_csv(path, needs=Needs(audio=True))[0].audio == folder / "a.mp3"


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
    with pytest.raises(DataError, match=r"test\.csv, row 2: the id 'b' is also in the training"):
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
    nemo = read_csv(DATA / "nemo" / "nemo.csv", needs=Needs(audio=True))
    ravdess = read_csv(DATA / "ravdess" / "ravdess.csv", needs=Needs(audio=True))
    assert (len(nemo), len({row.group for row in nemo})) == (1420, 9)
    assert (len(ravdess), len({row.group for row in ravdess})) == (528, 24)
    assert {row.label for row in nemo} == set(LABELS) - {"disgust"}
    assert {row.label for row in ravdess} == set(LABELS)


def test_any_columns_delimiter_encoding_and_labels(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_bytes("clave;frase;emoción\n7;¡Qué día!;ALEGRÍA \n8;No.;enojo\n".encode("cp1252"))
    layout = TableFormat(
        text_column="frase",
        label_column="emoción",
        id_column="clave",
        label_map=parse_label_map("Enojo=anger, alegria=joy"),
    )
    rows = read_csv(path, needs=Needs(text=True), layout=layout)
    assert [(row.id, row.text, row.label) for row in rows] == [
        ("7", "¡Qué día!", "joy"),
        ("8", "No.", "anger"),
    ]
    wrong = TableFormat(text_column="Satz")
    with pytest.raises(DataError, match=r"own\.csv: no column 'Satz' in the header"):
        read_csv(path, layout=wrong)


def test_sound_files_are_named_like_ids_with_or_without_ending(
    tmp_path: Path, write_table: Table
) -> None:
    for name in ("a.mp3", "b.mp3", "c.wav"):
        (tmp_path / name).touch()
    rows = [("a.mp3", "joy", "uno"), ("b", "joy", "dos"), ("c", "joy", "tres")]
    path = write_table(tmp_path / "t.csv", COLUMNS, rows)
    found = read_csv(path, audio_folder=tmp_path, needs=Needs(audio=True))
    assert [row.audio and row.audio.name for row in found] == ["a.mp3", "b.mp3", "c.wav"]


def numbered(path: Path, write_table: Table, label: str, count: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    return write_table(
        path, ("label", "text"), [(label, f"{label} {number}") for number in range(count)]
    )


def test_tables_without_ids_lose_no_rows(tmp_path: Path, write_table: Table) -> None:
    one = numbered(tmp_path / "one.csv", write_table, "joy", 100)
    two = numbered(tmp_path / "two.csv", write_table, "fear", 80)
    other = numbered(tmp_path / "other.csv", write_table, "anger", 50)
    data = read_dataset(Tables(train=(one, two), exclude=(other,)))
    assert len(data.train) == 180
    assert data.labels == ("fear", "joy")
    assert not data.notes
    same = read_dataset(Tables(train=(one, two), exclude=(two,), labels=("joy", "fear")))
    assert {row.label for row in same.train} == {"joy"}
    assert "80 of 180 training rows are excluded by id or text and left out." in same.notes


def test_numbers_as_ids_count_the_rows_of_their_own_table(
    tmp_path: Path, write_table: Table
) -> None:
    one, two = (
        write_table(
            tmp_path / f"{label}.csv",
            COLUMNS,
            [(str(number), label, f"{label} {number}") for number in range(30)],
        )
        for label in ("joy", "fear")
    )
    assert len(read_dataset(Tables(train=(one, two))).train) == 60
    assert len(read_dataset(Tables(train=(one, two, two))).train) == 60
    assert not read_dataset(Tables(train=(one, two), test=(two,)), allow_leak=True).notes
    with pytest.raises(DataError, match="would be a leak"):
        read_dataset(Tables(train=(one, two), test=(two,)))


def test_labels_are_those_of_the_rows_or_as_given(tmp_path: Path, write_table: Table) -> None:
    rows = [(str(i), ("Sí", "no", "sí ")[i % 3], f"texto {i}") for i in range(90)]
    path = write_table(tmp_path / "t.csv", COLUMNS, rows)
    data = read_dataset(Tables(train=(path,)))
    assert data.labels == ("no", "sí")
    assert targets_of(data.train[:3], data.labels).tolist() == [1, 0, 1]
    given = read_dataset(Tables(train=(path,), labels=("SI", "no", "quizá")))
    assert targets_of(given.train[:3], given.labels).tolist() == [0, 1, 0]
    assert given.notes == ("fewer than 20 training rows have the label quizá (0).",)
    with pytest.raises(DataError, match=r"row 2: unknown label 'no'.*--label-map"):
        read_dataset(Tables(train=(path,), labels=("sí", "quizá")))
    alone = write_table(tmp_path / "one.csv", COLUMNS, [("a", "joy", "uno")])
    with pytest.raises(DataError, match="all training rows have the label 'joy'"):
        check_classes(read_dataset(Tables(train=(alone,))))


def test_a_class_without_validation_rows_is_noted() -> None:
    rows = [Row(str(i), "joy", "t", None, "", "") for i in range(3)]
    assert missing_classes(rows, ("joy", "fear"), "validation") == [
        "no validation row has the label fear."
    ]
    assert missing_classes(rows, ("Joy",), "validation") == []
