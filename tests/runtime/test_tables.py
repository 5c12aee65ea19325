"""Tables: encodings and delimiters as spreadsheets write them, against Python's own codecs."""

import base64
import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.rows import RowError, RowFormat, open_rows
from emo_runtime.tables import (
    DELIMITERS,
    TableError,
    decode_text,
    decoded,
    detect_encoding,
    open_table,
    pick_column,
    read_records,
)

TEXT = "text;audio\n¿Qué pasó, señor Muñoz?;a.wav\n"


class Pipe(io.RawIOBase):
    """A binary stream that cannot seek and gives a few bytes at a time."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        chunk = self._data.read(min(len(buffer), 7))
        buffer[: len(chunk)] = chunk
        return len(chunk)


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"],
)
def test_encodings_are_detected(encoding):
    assert decode_text(TEXT.encode(encoding)) == TEXT


def test_plain_ascii_and_nothing_are_utf_8():
    assert detect_encoding(b"") == detect_encoding(b"text\nhola\n") == "utf-8"


def test_one_damaged_byte_does_not_change_the_encoding():
    assert detect_encoding("señor ".encode() + b"\xf1" + " año".encode()) == "utf-8"


def test_a_character_cut_by_the_end_of_the_sample_is_not_damage():
    data = b"a" * ((1 << 20) - 1) + "ñ".encode()
    assert detect_encoding(data[: 1 << 20]) == "utf-8"


def test_a_pipe_is_decoded():
    with decoded(Pipe(TEXT.encode("utf-16"))) as stream:
        assert stream.read() == TEXT


def test_the_given_encoding_counts():
    assert decode_text("ä".encode("cp437"), "cp437") == "ä"
    with pytest.raises(TableError, match="unknown encoding 'klingon'"):
        decode_text(b"", "klingon")
    with (
        pytest.raises(TableError, match="unknown encoding 'klingon'"),
        decoded(Pipe(b""), "klingon"),
    ):
        pass
    with pytest.raises(TableError, match="not valid ascii"):
        decode_text("ñ".encode(), "ascii")


def test_a_missing_file_is_a_table_error(tmp_path):
    with pytest.raises(TableError, match="No such file"), open_table(tmp_path / "a.csv"):
        pass


cell = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1, max_size=12)


@given(
    rows=st.lists(st.tuples(cell, cell), max_size=5),
    delimiter=st.sampled_from(DELIMITERS),
    given_sep=st.booleans(),
)
def test_what_the_csv_module_writes_is_read_back(rows, delimiter, given_sep):
    stream = io.StringIO(f"sep={delimiter}\r\n" if given_sep else "", newline="")
    stream.seek(0, io.SEEK_END)
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerows([("text", "audio"), *rows])
    stream.seek(0)
    columns, records = read_records(stream, ("text", "audio"))
    assert columns == ["text", "audio"]
    assert list(records) == [{"text": text, "audio": audio} for text, audio in rows]


def test_each_row_that_does_not_fit_is_an_error():
    _, records = read_records(["text,audio\n", "a,b\n", "a\n", "a,b,c\n", "\n", "c,d\n"], ())
    found = [row if isinstance(row, dict) else str(row) for row in records]
    assert found == [
        {"text": "a", "audio": "b"},
        "the row has 1 fields, the header names 2.",
        "the row has 3 fields, the header names 2.",
        {"text": "c", "audio": "d"},
    ]


@pytest.mark.parametrize(
    ("lines", "delimiter", "message"),
    [
        (["text,text\n"], None, "the header has the column 'text' more than once"),
        (["text\n"], "::", "delimiter '::': give one character"),
        (["text\n"], '"', "give one character"),
    ],
)
def test_tables_that_are_refused(lines, delimiter, message):
    with pytest.raises(TableError, match=message):
        read_records(lines, (), delimiter)


def test_a_tab_can_be_spelled():
    assert read_records(["a,b\tc\n"], (), "tab")[0] == ["a,b", "c"]


def test_columns_are_picked_without_regard_to_case():
    assert pick_column(["ID", "Texto", "Text"], ("text", "transcript")) == "Text"
    assert pick_column(["ID"], ("text",)) is None
    assert pick_column(["ID", "frase"], ("text",), "frase") == "frase"
    with pytest.raises(TableError, match=r"no column 'x' in the header \(columns found: 'ID'\)"):
        pick_column(["ID"], ("text",), "x")


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_sound_in_a_column_of_paths_is_not_echoed(tmp_path, prefix, encode):
    sound = prefix + encode(bytes(range(256)) * 4).decode()
    table = tmp_path / "calls.csv"
    table.write_text(f"text,audio\nhola,{sound!r}\n".replace("'", '"'))
    with open_rows(str(table), RowFormat(), None) as rows:
        [row] = rows
    assert isinstance(row.utterance, RowError)
    assert "looks like base64" in str(row.utterance)
    assert len(str(row.utterance)) < 200


def test_an_open_quote_is_an_error_of_its_row():
    lines = ["id,text\n", '1,"hola\n', "2,a\n"]
    _, records = read_records(lines, ["text"])
    [error] = records
    assert isinstance(error, TableError)
    assert "a quote is not closed: 2 lines" in str(error)
    _, records = read_records(["id,text\n", '1,"hola\n', 'a"\n', "2,b\n"], ["text"])
    assert list(records) == [{"id": "1", "text": "hola\na"}, {"id": "2", "text": "b"}]


def test_blank_lines_before_the_header():
    columns, records = read_records(["\n", "\r\n", "id;text\n", "1;hola\n"], ["text"])
    assert (columns, list(records)) == (["id", "text"], [{"id": "1", "text": "hola"}])


def test_a_workbook_is_named():
    with pytest.raises(TableError, match="Excel workbook"), decoded(io.BytesIO(b"PK\x03\x04")):
        pass


def test_column_names_in_other_case_and_a_json_array(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("ID,TEXT\n7,hola\n")
    with open_rows(str(path), RowFormat(), None) as rows:
        [row] = rows
    assert (row.id, row.utterance.text) == ("7", "hola")
    array = tmp_path / "rows.txt"
    array.write_text('[{"text": "hola"}]')
    with open_rows(str(array), RowFormat(), None) as rows, pytest.raises(RowError, match="array"):
        next(rows)
