"""Hostile arguments and input files: one line of error, never a traceback."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from emo_runtime.cli.bundle import main as bundle_command
from emo_runtime.cli.predict import main
from emo_runtime.plot import MAX_SPEAKERS
from helpers.corpora import CLIPS
from helpers.processes import environment, run_python

PREDICT = ("-m", "emo_runtime.cli.predict")


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return tiny_bundle(present_input=True)


def run(bundle, *arguments):
    return CliRunner().invoke(main, ["--bundle", str(bundle), *map(str, arguments)])


def transcript(tmp_path, *segments):
    path = tmp_path / "call.json"
    path.write_text(json.dumps({"segments": list(segments)}))
    return path


SURROGATE = {"start": 0, "end": 1, "text": "hola \ud800", "speaker": "é\ud800"}
MATHS = {"start": 0, "end": 1, "text": "hola", "speaker": "$\\frac{"}


@pytest.mark.parametrize("row", ['{"id": "\\ud800", "text": "hola"}', '{"audio": "\\udcff.wav"}'])
def test_ids_of_rows_that_are_not_text(bundle, tmp_path, row):
    """Impact: one row would stop the run for all rows after it."""
    path = tmp_path / "rows.jsonl"
    path.write_text(row + '\n{"text": "hola"}\n')
    result = run(bundle, "--input", path)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["row"] for line in lines] == [1, 2]
    assert result.exit_code == ("error" in lines[0])
    assert isinstance(result.exception, SystemExit | None)


def test_bytes_that_are_not_utf8_still_give_json(bundle, tmp_path):
    """Impact: output that the next program can't parse."""
    (tmp_path / "rows.csv").write_bytes(b"id,text\n\xff,hola\n")
    done = run_python(
        *PREDICT, "--bundle", bundle, "--input", tmp_path / "rows.csv", LC_ALL="C", timeout=120
    )
    assert json.loads(done.stdout)["id"] == "\udcff"


@pytest.mark.parametrize("options", [[], ["--json"], ["--csv", "o.csv"], ["--plot", "o.png"]])
@pytest.mark.parametrize("segment", [SURROGATE, MATHS], ids=["surrogate", "maths"])
def test_transcripts_whose_words_are_not_text(bundle, tmp_path, monkeypatch, options, segment):
    """Impact: a traceback instead of all answers; `$` must not start a formula."""
    monkeypatch.chdir(tmp_path)
    call = transcript(tmp_path, segment, {"start": 1, "end": 2, "text": "hola"})
    result = run(bundle, "--audio", CLIPS / "queja.flac", "--transcript", call, *options)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == (segment is SURROGATE)
    if options == ["--json"]:
        assert len(json.loads(result.stdout)["moments"]) == 2


def test_a_plot_is_a_png_whatever_its_name(bundle, tmp_path):
    """Impact: an unknown ending would be a traceback after all the work."""
    call = transcript(tmp_path, MATHS)
    target = tmp_path / "o.xyz"
    result = run(bundle, "--audio", CLIPS / "queja.flac", "--transcript", call, "--plot", target)
    assert result.exit_code == 0
    assert target.read_bytes().startswith(b"\x89PNG")


def test_too_many_speakers_for_a_plot(bundle, tmp_path):
    """Impact: an image of unbounded size, and its memory."""
    cues = [MATHS | {"speaker": f"s{number}"} for number in range(MAX_SPEAKERS + 1)]
    call = transcript(tmp_path, *cues)
    result = run(
        bundle, "--audio", CLIPS / "queja.flac", "--transcript", call, "--plot", tmp_path / "o.png"
    )
    assert (result.exit_code, result.stderr[:19]) == (1, "Error: 33 speakers,")
    assert not (tmp_path / "o.png").exists()


def test_a_terminal_without_the_letters(bundle, tmp_path):
    """Impact: a traceback instead of an answer on an old terminal."""
    call = transcript(tmp_path, {"start": 0, "end": 1, "text": "vergüenza 😡"})
    done = run_python(
        *PREDICT,
        *("--bundle", bundle, "--audio", CLIPS / "queja.flac", "--transcript", call),
        PYTHONIOENCODING="ascii",
        timeout=600,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "#" in done.stdout  # bars of plain letters; the words as the stream takes them


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_standard_output(bundle, options):
    """Impact: half an answer with exit code 0."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, *PREDICT, "--bundle", bundle, "--text", "hola", *options],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=600,
            check=False,
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["../../etc/passwd", "-rf", "a\nb", "\x1b[2J", "x" * 300])
def test_hostile_file_names(bundle, name):
    """Impact: another file, an injected option or log line, terminal control sequences."""
    result = run(bundle, f"--audio={name}")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert CliRunner().invoke(bundle_command, ["inspect", "--", name]).exit_code == 1


COMMANDS = [
    ("emo_runtime.cli.predict", "--text", "hola"),
    ("emo_runtime.cli.bundle", "verify"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_without_home_cache_or_space(command, tmp_path):
    """Impact: a command that fails only because it can't remember that a self-test passed."""
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", sys.executable, "-m", *command]
    done = subprocess.run(
        limited,
        env=environment(HOME=None, XDG_CACHE_HOME=None),
        cwd=tmp_path,
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting needs root and unshare"
)
def test_a_read_only_file_system(bundle, tmp_path):
    """Impact: none; containers often have such mounts."""
    script = 'mount -o remount,ro,bind / 2>/dev/null || exit 77; exec "$@"'
    inside = ["unshare", "-m", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*inside, sys.executable, *PREDICT, "--bundle", bundle, "--text", "hola", "--json"],
        env=environment(XDG_CACHE_HOME=str(tmp_path / "cache")),
        capture_output=True,
        timeout=600,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this sandbox can't remount its root")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["task"] == "text"
    assert not (tmp_path / "cache").exists()
