"""emo-predict as a user runs it: answers, bad rows, exit codes, one clear line and no traceback."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from emo_runtime import EmotionRecognizer
from emo_runtime.cli.predict import main
from helpers.corpora import CLIPS
from helpers.mutate import edit_manifest, flip_byte
from helpers.processes import run_python
from helpers.sounds import as_file, speechlike

CLIP = CLIPS / "miedo.flac"


def run(*arguments, stdin=None):
    return CliRunner().invoke(main, [str(item) for item in arguments], input=stdin)


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return tiny_bundle()


@pytest.fixture(scope="module")
def recognizer(bundle):
    return EmotionRecognizer.open(bundle)


def failed(result, code, *messages):
    """Exactly one line on standard error (after click's usage lines), which says all that."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    *usage, line = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert code == 2 or not usage
    for message in messages:
        assert message in line
    assert "Traceback" not in result.stderr


def test_for_people(bundle, recognizer):
    result = run("--bundle", bundle, "--text", "no puedo más", "--audio", CLIP)
    assert (result.exit_code, result.stderr) == (0, "")
    answer = recognizer.recognize("no puedo más", CLIP)
    assert result.stdout.startswith(f"{answer.label} (")
    for label, score in answer.scores.items():
        assert label in result.stdout
        assert f"{score:.3f}" in result.stdout
    for step in (
        "decode",
        "resample",
        "front end",
        "tokenize",
        "text graph",
        "fusion graph",
        "total",
    ):
        assert step in result.stdout


def test_without_sound_there_are_no_steps_of_sound(bundle):
    result = run("--bundle", bundle, "--text", "no puedo más")
    assert result.exit_code == 0
    assert "front end" not in result.stdout
    assert "task text" in result.stdout


def test_notes_are_shown(bundle):
    assert (
        "note: only the first 16 tokens were used"
        in run("--bundle", bundle, "--text", "no " * 99).stdout
    )


def test_as_json(bundle, recognizer):
    result = run("--bundle", bundle, "--text", "no puedo más", "--audio", CLIP, "--json")
    [document] = lines(result)
    answer = recognizer.recognize("no puedo más", CLIP)
    assert document["scores"] == answer.scores
    assert document["label"] == answer.label
    assert document["duration_s"] == answer.duration_s


def test_task_insists(bundle, recognizer):
    options = ["--bundle", bundle, "--text", "no puedo más", "--audio", CLIP, "--json"]
    [document] = lines(run(*options, "--task", "text"))
    assert document["scores"] == recognizer.recognize("no puedo más").scores


FORMS = {
    "csv": 'text,audio\nno puedo más,\n"hola, con",{clip}\n',
    "csv with BOM and CRLF": '\ufefftext,audio\r\nno puedo más,\r\n"hola, con",{clip}\r\n',
    "jsonl": '{{"text": "no puedo más"}}\n\n{{"text": "hola, con", "audio": "{clip}"}}\n',
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_rows(bundle, recognizer, tmp_path, form, way):
    data = FORMS[form].format(clip=CLIP).encode()
    if way == "stdin":
        done = run_python(
            "-m", "emo_runtime.cli.predict", "--bundle", bundle, "--input", "-", stdin=data
        )
        assert (done.returncode, done.stderr) == (0, "")
        documents = [json.loads(line) for line in done.stdout.splitlines()]
    else:
        path = tmp_path / "rows.txt"
        path.write_bytes(data)
        result = run("--bundle", bundle, "--input", path)
        assert (result.exit_code, result.stderr) == (0, "")
        documents = lines(result)
    assert [document["row"] for document in documents] == [1, 2]
    assert documents[0]["scores"] == recognizer.recognize("no puedo más").scores
    assert documents[1]["scores"] == recognizer.recognize("hola, con", CLIP).scores


def test_our_own_table_of_clips(bundle, recognizer):
    result = run("--bundle", bundle, "--input", CLIPS / "clips.csv")
    assert result.exit_code == 0, result.stderr
    with open(CLIPS / "clips.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    documents = lines(result)
    assert len(documents) == len(table) == 8
    for row, document in zip(table, documents, strict=True):
        answer = recognizer.recognize(row["text"], CLIPS / row["audio"])
        assert document["scores"] == answer.scores


def test_bad_rows_are_named_and_the_others_are_answered(bundle, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("Esto no es un sonido." * 9, encoding="utf-8")
    (tmp_path / "zero.wav").write_bytes(as_file(np.zeros(0, np.float32), 8_000))
    nan = as_file(np.full(9, np.nan, np.float32), 8_000, subtype="FLOAT")
    (tmp_path / "nan.wav").write_bytes(nan)
    (tmp_path / "good.wav").write_bytes(as_file(speechlike(0.5, 8_000), 8_000))
    table = [
        ("a", "hola", "missing.wav", "No such file"),
        ("b", "hola", "good.wav", None),
        ("c", "hola", "empty.wav", "is empty (0 bytes)"),
        ("d", "hola", "text.wav", "not a supported sound file"),
        ("e", "hola", "zero.wav", "has no samples"),
        ("f", "hola", "nan.wav", "NaN or infinite"),
        ("g", "  ", "", "the transcript is empty"),
        ("h", "x" * 10_000_000, "", "10,000,000 characters"),
        ("i", "", "", "neither text nor audio"),
        ("j", "", "good.wav", "'audio' is not loaded"),
        ("k", "hola", "", None),
    ]
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "audio"])
        writer.writerows(row[:3] for row in table)
    result = run("--bundle", bundle, "--input", path)
    assert result.exit_code == 1
    assert result.stderr == "Error: 9 of 11 rows failed: their lines have the key 'error'.\n"
    documents = lines(result)
    assert [(document["row"], document["id"]) for document in documents] == [
        (number, row[0]) for number, row in enumerate(table, start=1)
    ]
    for document, (_, _, audio, message) in zip(documents, table, strict=True):
        if message is None:
            assert document["label"]
        else:
            assert message in document["error"]
            assert document["kind"].endswith("Error")
            if audio and "not there" not in message and document["kind"] == "AudioError":
                assert audio in document["error"] or "samples" in document["error"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"text": "hola"}\nnonsense\n[1]\n{"text": 5}\n{"text": "hola"}\n', "oeeeo"),
        (b'{"text": "hola \\ud800"}\n{"text": "hola"}\n', "eo"),
        (b'{"text": "hola"}\n' + b"[" * 100_000 + b"\n", "oe"),
        (b"text\nhola\n\xff\xfe roto\nhola\n", "oeo"),
        (b"text,audio\nhola,,too many\nhola,\n", "eo"),
        (b"text,audio\nhola\nhola,\n", "eo"),
    ],
)
def test_invalid_rows(bundle, tmp_path, data, expected):
    path = tmp_path / "rows"
    path.write_bytes(data)
    result = run("--bundle", bundle, "--input", path)
    found = "".join("e" if "error" in document else "o" for document in lines(result))
    assert (found, result.exit_code) == (expected, 1)


def test_only_bad_rows(bundle, tmp_path):
    (tmp_path / "rows.jsonl").write_text("x\n" * 50)
    result = run("--bundle", bundle, "--input", tmp_path / "rows.jsonl")
    assert [document["row"] for document in lines(result)] == list(range(1, 51))


def test_an_empty_table(bundle, tmp_path):
    (tmp_path / "rows.csv").write_text("text,audio\n")
    result = run("--bundle", bundle, "--input", tmp_path / "rows.csv")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "no column 'text' or 'audio' in the header (columns found: none)"),
        ("a,b\n1,2\n", "(columns found: 'a', 'b')"),
    ],
)
def test_tables_that_are_refused(bundle, tmp_path, content, message):
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_text(content)
    failed(run("--bundle", bundle, "--input", path), 1, message)


ON_RAY = ["--ray", "--input", "a.csv", "--output", "b"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--text", "a", "--input", "b"],
        ["--task", "video", "--text", "a"],
        ["--nonsense"],
        ["--text", "a", "--threads", "0"],
        ["--text", "a", "--variant", "int4"],
        ["--text", "a", "--csv", "b.csv"],
        ["--text", "a", "--transcript", "b.vtt"],
        ["--input", "a.csv", "--workers", "2"],
        [*ON_RAY, "--threads", "2"],
        [*ON_RAY, "--format", "csv"],
        [*ON_RAY, "--json"],
    ],
)
def test_wrong_usage(arguments):
    failed(run(*arguments), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", ""], "the transcript is empty"),
        (["--text", "hola", "--audio", "missing.wav"], "missing.wav: can't be opened"),
        (["--text", "hola", "--task", "fusion"], "'fusion' needs sound"),
        (["--audio", CLIP], "has no task 'audio'"),
        (["--text", "hola", "--provider", "gpu"], "provider 'gpu' is not known"),
        (["--text", "hola", "--variant", "int8"], "no variant 'int8'"),
    ],
)
def test_what_fails(bundle, arguments, message):
    failed(run("--bundle", bundle, *arguments), 1, message)


def damaged(bundle, how):
    if how == "flipped byte":
        flip_byte(bundle / "text.fp32.onnx", 100)
    elif how == "missing file":
        (bundle / "tokenizer.json").unlink()
    elif how == "way out":
        edit_manifest(bundle, lambda document: document["card"].update(file="../CARD.md"))
    elif how == "newer":
        edit_manifest(bundle, lambda document: document.update(schema="emo-bundle/99"))
    return bundle


DAMAGES = {
    "flipped byte": "sha256 differs from the manifest",
    "missing file": "'tokenizer.json' is missing",
    "way out": "is not a plain file name",
    "newer": "Update emo-runtime",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_bundles(own_bundle, how):
    failed(run("--bundle", damaged(own_bundle(), how), "--text", "hola"), 1, DAMAGES[how])


def test_no_such_bundle(tmp_path):
    failed(run("--bundle", tmp_path / "none", "--text", "hola"), 1, "no such directory")


def test_the_process_itself(bundle, tmp_path):
    """A real process: exit codes, streams, and never a traceback."""
    module = ("-m", "emo_runtime.cli.predict", "--bundle", bundle)
    good = run_python(*module, "--text", "hola", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["task"] == "text"
    bad = run_python(*module, "--text", "hola", "--audio", tmp_path / "missing.wav")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.count("\n") == 1
    assert "Traceback" not in bad.stderr
    usage = run_python(*module)
    assert (usage.returncode, usage.stdout) == (2, "")
    assert "Traceback" not in usage.stderr


def test_a_terminal_that_speaks_ascii_only(bundle):
    module = ("-m", "emo_runtime.cli.predict", "--bundle", bundle, "--text", "no puedo más")
    done = run_python(*module, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "#" in done.stdout
    done = run_python(*module, "--json", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)


def test_a_reader_that_goes_away(bundle, tmp_path):
    (tmp_path / "rows.csv").write_text("text\n" + "hola\n" * 5_000)
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'emo_runtime.cli.predict', *sys.argv[1:]],"
        " stdout=subprocess.PIPE, stderr=subprocess.PIPE)\n"
        "child.stdout.readline(); child.stdout.close()\n"
        "print(child.stderr.read().decode(), child.wait())\n"
    )
    done = run_python("-c", code, "--bundle", bundle, "--input", tmp_path / "rows.csv")
    assert "Traceback" not in done.stdout
    assert done.stdout.split()[-1] == "1"


def test_rows_without_any_audio_are_answered_in_order(bundle, tmp_path):
    words = ["hola", "gracias", "no puedo más", "me da miedo"] * 30
    stream = io.StringIO()
    for number, text in enumerate(words):
        stream.write(json.dumps({"id": number, "text": text}) + "\n")
        if number % 7 == 0:
            stream.write("broken\n")
    (tmp_path / "rows.jsonl").write_text(stream.getvalue())
    documents = lines(run("--bundle", bundle, "--input", tmp_path / "rows.jsonl"))
    good = [document for document in documents if "error" not in document]
    assert [document["id"] for document in good] == [str(number) for number in range(120)]
    assert [document["row"] for document in documents] == list(range(1, len(documents) + 1))


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("text;audio\r\nseñor;\r\n".encode("cp1252"), ()),
        ("sep=;\r\ntext;id\r\nseñor;7\r\n".encode("cp1252"), ()),
        ("text\taudio\r\nseñor\t\r\n".encode("utf-16"), ()),
        ("frase;audio\nseñor;\n".encode(), ("--text-column", "frase")),
        ("text~id\nseñor~7\n".encode("cp437"), ("--delimiter", "~", "--encoding", "cp437")),
    ],
    ids=["spanish-excel", "sep-line", "excel-unicode", "named-column", "given"],
)
def test_tables_as_spreadsheets_write_them(bundle, tmp_path, content, options):
    (tmp_path / "rows.csv").write_bytes(content)
    result = run("--bundle", bundle, "--input", tmp_path / "rows.csv", *options)
    assert result.exit_code == 0, result.stderr
    alone = run("--bundle", bundle, "--text", "señor", "--json")
    assert json.loads(result.stdout)["scores"] == json.loads(alone.stdout)["scores"]


def test_table_options_go_with_input(bundle):
    failed(run("--bundle", bundle, "--text", "hola", "--delimiter", ";"), 2, "requires --input")
