"""Find processes that Ray started, by a variable of their environment (Linux)."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


def processes_with(variable: str, value: object, command: str = "") -> list[int]:
    """Return processes with ``variable`` set to ``value`` whose command begins with ``command``."""
    mark = f"{variable}={value}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = mark in (process / "environ").read_bytes().split(b"\0")
            if ours and (process / "cmdline").read_bytes().startswith(command.encode()):
                found.append(int(process.name))
    return found


def ray_processes(folder: Path, command: str = "") -> list[int]:
    """Return the processes of the Ray cluster whose files are in ``folder``."""
    return processes_with("RAY_TMPDIR", folder, command)


@contextlib.contextmanager
def ray_folder() -> Iterator[Path]:
    """Yield a temporary folder for Ray's files; its name is short because of Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
