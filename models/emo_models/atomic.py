"""Atomic writes of files and directories."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path


def atomic_write(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary sibling, then rename it to ``path``.

    Args:
        path: the file to create or replace; a missing parent directory is created.
        write: called with the temporary path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def atomic_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically."""
    atomic_write(path, lambda temporary: _write_text(temporary, text))


def sync(path: Path) -> None:
    """Flush a file's contents, or a directory's entries, to disk.

    Does nothing for a directory on systems that can't open one (not POSIX).
    """
    is_directory = path.is_dir()
    if is_directory and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary siblings that killed processes left."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        owner = leftover.name.split(".")[-2]
        if owner.isdigit() and not _runs(int(owner)):
            leftover.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    if process == os.getpid():
        return False
    if os.name != "posix":  # on Windows, signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
