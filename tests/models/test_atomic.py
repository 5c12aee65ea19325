"""A file is the old one or the new one, and temporary files of killed processes are removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emo_models.atomic import atomic_text, atomic_write


def test_a_file_is_created_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "metrics.json"
    atomic_text(path, "años")
    assert path.read_bytes() == "años".encode()
    atomic_text(path, "new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    atomic_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "state[1].pt"  # brackets are no pattern
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    left = tmp_path / f".{path.name}.{ended.stdout.strip()}.tmp"
    of_a_running_process = tmp_path / f".{path.name}.{os.getppid()}.tmp"
    of_another_file = tmp_path / f".other.pt.{ended.stdout.strip()}.tmp"
    for file in (left, of_a_running_process, of_another_file):
        file.touch()
    atomic_text(path, "whole")
    assert set(tmp_path.iterdir()) == {path, of_a_running_process, of_another_file}
