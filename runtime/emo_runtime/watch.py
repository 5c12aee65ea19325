"""Watch a folder for complete sound files, by polling; a record of the answered ones.

A file is complete when its size and its time of modification have not changed for ``settle_s``
seconds. Polling works on every file system, including those of other machines.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from emo_runtime.errors import ArgumentError

SOUND_SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"),
        *(".caf", ".w64", ".rf64", ".m4a", ".mp4", ".aac", ".amr", ".webm", ".spx", ".wma"),
    )
)
TRANSCRIPT_SUFFIXES = (".vtt", ".srt", ".json", ".jsonl", ".tsv", ".txt")

Version = tuple[int, int]

# The first bytes of each line of answers.
_START = b'{"file": '


@dataclass(frozen=True)
class Found:
    """A complete sound file.

    Attributes:
        path: The file.
        name: Its path relative to the folder, with ``/``.
        version: Size in bytes and time of modification in nanoseconds.
        transcript: Its complete transcript of the same stem, if there is one.
    """

    path: Path
    name: str
    version: Version
    transcript: Path | None


class FolderWatch:
    """Finds complete sound files below a folder.

    Args:
        folder: The folder; its subfolders are watched too. Hidden files and folders are left out.
        settle_s: Seconds without a change after which a file is complete.
        transcript_s: Seconds that a complete sound file waits for its transcript.
        clock: Returns monotonic seconds.

    Raises:
        ArgumentError: The folder does not exist.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float = 2.0,
        transcript_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not folder.is_dir():
            raise ArgumentError(f"{folder}: no such folder. Give a folder of sound files.")
        self._folder = folder
        self._settle_s = settle_s
        self._transcript_s = transcript_s
        self._clock = clock
        # The current version of each file, and when it was first seen.
        self._seen: dict[Path, tuple[Version, float]] = {}
        self._waiting: set[Path] = set()

    @property
    def idle(self) -> bool:
        """True if no file is changing or waits for its transcript."""
        return not self._waiting

    def poll(self, is_done: Callable[[str, Version], bool]) -> list[Found]:
        """Return the complete files for whose name and version ``is_done`` is false, by name.

        Raises:
            ArgumentError: The folder was removed.
        """
        if not self._folder.is_dir():
            raise ArgumentError(f"{self._folder}: the folder was removed.")
        now = self._clock()
        self._look(now)
        self._waiting.clear()
        complete = []
        for path in sorted(self._seen):
            version, since = self._seen[path]
            name = path.relative_to(self._folder).as_posix()
            if path.suffix.lower() not in SOUND_SUFFIXES or is_done(name, version):
                continue
            settled_s = now - since - self._settle_s
            transcript, settled = self._transcript_of(path, now)
            waits = transcript is None and settled_s < self._transcript_s
            if settled_s < 0 or not settled or waits:
                self._waiting.add(path)
            else:
                complete.append(Found(path, name, version, transcript))
        return complete

    def _look(self, now: float) -> None:
        """Update what is known about the files below the folder."""
        found = dict(_files(self._folder))
        for path, version in found.items():
            known = self._seen.get(path)
            if known is None or known[0] != version:
                self._seen[path] = (version, now)
        for path in self._seen.keys() - found.keys():
            del self._seen[path]

    def _transcript_of(self, sound: Path, now: float) -> tuple[Path | None, bool]:
        """Return the transcript of a sound file, if any, and False while it is changing."""
        for suffix in TRANSCRIPT_SUFFIXES:
            for path in (sound.with_suffix(suffix), sound.with_suffix(suffix.upper())):
                if path in self._seen:
                    return path, now - self._seen[path][1] >= self._settle_s
        return None, True


class AnsweredFiles:
    """The JSON Lines file of answers, which is also the record of what was answered.

    Each line has the keys ``file``, ``size`` and ``modified_ns``. An incomplete last line, left by
    a process that was killed, is removed. One process may write to a file at a time.

    Raises:
        ArgumentError: Another process writes to the file, or it contains something else.
    """

    def __init__(self, path: Path) -> None:
        self._stream: IO[bytes] = path.open("a+b")
        try:
            _lock(self._stream, path)
            self._done = dict(self._read(path))
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "AnsweredFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def is_done(self, name: str, version: Version) -> bool:
        """True if this version of the file was answered."""
        return self._done.get(name) == version

    def add(self, found: Found, document: dict[str, Any]) -> None:
        """Append a line and write it to the disk."""
        line = json.dumps(document, ensure_ascii=False, allow_nan=False)
        self._stream.write(line.encode("utf-8", "backslashreplace") + b"\n")
        self._stream.flush()
        with contextlib.suppress(OSError):  # not every kind of file can be synchronized
            os.fsync(self._stream.fileno())
        self._done[found.name] = found.version

    def _read(self, path: Path) -> Iterator[tuple[str, Version]]:
        self._stream.seek(0)
        end = 0
        for line in self._stream:
            if _is_incomplete(line):
                self._stream.truncate(end)
                break
            end += len(line)
            try:
                record = json.loads(line)
                yield str(record["file"]), (int(record["size"]), int(record["modified_ns"]))
            except (ValueError, KeyError, TypeError):
                raise ArgumentError(
                    f"{path}: not a file of answers of --watch. Give another --output."
                ) from None
        self._stream.seek(0, os.SEEK_END)


def head(found: Found) -> dict[str, Any]:
    """Return the first keys of a line: the file and its version."""
    size, modified = found.version
    transcript = None if found.transcript is None else found.transcript.name
    return {
        "file": found.name,
        "size": size,
        "modified_ns": modified,
        "transcript": transcript,
    }


def _is_incomplete(line: bytes) -> bool:
    """True for the start of a line of answers, or for the zeros that a power failure leaves."""
    if line.endswith(b"\n"):
        return False
    return line[: len(_START)] == _START[: len(line)] or not line.strip(b"\0")


def _files(folder: Path) -> Iterator[tuple[Path, Version]]:
    """Yield the regular files with sound or a transcript below a folder; unreadable parts: none."""
    wanted = SOUND_SUFFIXES | set(TRANSCRIPT_SUFFIXES)
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(base, name)
            if name.startswith(".") or path.suffix.lower() not in wanted:
                continue
            with contextlib.suppress(OSError):  # removed since it was listed
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    yield path, (status.st_size, status.st_mtime_ns)


def _lock(stream: IO[bytes], path: Path) -> None:
    try:
        import fcntl  # noqa: PLC0415  (not on Windows, where nothing is locked)
    except ImportError:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ArgumentError(
            f"{path}: another process writes its answers to it. Give another --output."
        ) from None
