"""Build the source distribution and the wheel reproducibly, twice, and compare them.

``python tests/repository/dist.py OUTPUT`` exports the last commit, builds both from it in copies at
two different paths and times, compares the bytes, and writes them to OUTPUT. It needs ``build``.
Uncommitted changes are not part of a distribution.
"""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(output: Path) -> int:
    """Build twice, compare, and copy the result to ``output``."""
    epoch = int(_git("log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        # The second copy has another path and other times of modification.
        builds = [build(Path(first) / "a", epoch, 0), build(Path(second) / "bb", epoch, 86_400)]
        digests = [{file.name: _sha256(file) for file in found} for found in builds]
        if digests[0] != digests[1]:
            print(f"The two builds differ: {digests}", file=sys.stderr)
            return 1
        output.mkdir(parents=True, exist_ok=True)
        for file in builds[0]:
            shutil.copy(file, output / file.name)
            print(f"{digests[0][file.name]}  {file.name}")
    return 0


def build(folder: Path, epoch: int, later_s: int) -> list[Path]:
    """Return the sdist and the wheel of the last commit, built below ``folder``."""
    source = folder / "source"
    source.mkdir(parents=True)
    archive = subprocess.run(
        ["git", "archive", "--format=tar", "HEAD"], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(source, filter="data")
    for path in source.rglob("*"):
        if not path.is_symlink():
            os.utime(path, (epoch + later_s, epoch + later_s))
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "build", "--outdir", str(folder / "dist"), str(source)]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    [sdist] = (folder / "dist").glob("*.tar.gz")
    normalize(sdist, epoch)
    [wheel] = (folder / "dist").glob("*.whl")
    return [sdist, wheel]


def normalize(sdist: Path, epoch: int) -> None:
    """Write a tar.gz again with sorted members, one time, and no owner: setuptools keeps those."""
    members = []
    with tarfile.open(sdist) as tar:
        for member in sorted(tar.getmembers(), key=lambda item: item.name):
            data = tar.extractfile(member)
            member.mtime, member.uid, member.gid = epoch, 0, 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            members.append((member, data.read() if data else b""))
    with (
        sdist.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member, content in members:
            tar.addfile(member, io.BytesIO(content) if member.isfile() else None)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
