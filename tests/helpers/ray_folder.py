"""Where Ray may put its files in a test, and the processes that it started there."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def ray_folder() -> Iterator[Path]:
    """A folder with a short name (Ray puts sockets into it), which goes with the block."""
    with tempfile.TemporaryDirectory(prefix="emo-ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def processes(folder: Path, name: str = "") -> list[int]:
    """Those of the cluster in ``folder`` whose command line begins with ``name``."""
    mark = f"RAY_TMPDIR={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = mark in (process / "environ").read_bytes().split(b"\0")
            if ours and (process / "cmdline").read_bytes().startswith(name.encode()):
                found.append(int(process.name))
    return found
