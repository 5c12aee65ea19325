"""Ctrl-C and SIGTERM while a command is at work: it ends at once, and nothing is left behind."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.corpora import CHECKPOINT, SMALL_BUNDLE
from helpers.processes import environment
from studies.processes import processes_with

# Runs a command until it calls the function HELD, where it stays until the signal comes.
DRIVER = """
import importlib, signal, sys, time
command, held, *arguments = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has none
module, name = held.split(":")
def wait(*_, **__):
    print("at work", file=sys.stderr, flush=True)
    time.sleep(100)
module = importlib.import_module(module)
getattr(module, name)  # it must be there already
setattr(module, name, wait)
importlib.import_module(command).main(arguments)
"""

TEXT = CHECKPOINT / "text"
COMMANDS = {
    "predict": (
        *("emo_runtime.cli.predict", "emo_runtime.cli.predict_rows:open_rows"),
        *("--input", "-"),
    ),
    "bundle": ("emo_runtime.cli.bundle", "emo_runtime.cli.bundle:open_bundle", "verify"),
    "evaluate": (
        *("emo_models.cli.evaluate", "emo_models.evaluation.bundle:predict_bundle"),
        *(SMALL_BUNDLE, "--data", "rows.csv", "--split", "train"),
    ),
    "train": (
        *("emo_models.cli.train", "os:fsync", "text", "--train", "rows.csv", "--encoder", TEXT),
        *("--output", "run", "--epochs", "1"),
    ),
    "export": (
        *("emo_export.cli", "os:fsync", "--text", TEXT, "--no-gate", "--output", "bundle"),
        *("--evaluate", "rows.csv"),
    ),
    "bench": (
        *("emo_bench.cli", "emo_bench.runner.cold:run_python"),
        *("--scenario", "cold", "--samples", "4", "--output", "report"),
    ),
}
# After Ctrl-C, emo-bench reports its results so far and exits with 1.
CODES = {(name, signal.SIGINT): 130 for name in COMMANDS} | {("bench", signal.SIGINT): 1}
# Files created before the work begins. After Ctrl-C, emo-bench also leaves its report.
LEFT = {
    "train": {"run"},
    "bench": {"report"},
}
REPORT = {"report/report.json", "report/report.md"}


def left_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda item: item.name)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_at_work_ends_and_leaves_nothing(name, number, tmp_path):
    """Impact: a traceback, half-written files, or processes that never end."""
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    rows = [f"{label},esto es {label}" for label in ("anger", "joy", "fear", "sadness") * 4]
    (work / "rows.csv").write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, *COMMANDS[name]],
        cwd=work,
        env=environment(TMPDIR=str(temporary), TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "torch")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        said = b""
        while not said.endswith(b"at work\n"):
            line = process.stderr.readline()
            assert line, said.decode()
            said += line
        process.send_signal(number)
        _, error = process.communicate(timeout=600)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert process.returncode == CODES.get((name, number), 143), error
    assert b"Traceback" not in error
    assert left_in(temporary) == set()
    assert processes_with("TMPDIR", temporary) == []
    expected = {"rows.csv"} | LEFT.get(name, set())
    if (name, number) == ("bench", signal.SIGINT):
        expected |= REPORT
    assert left_in(work) == expected
