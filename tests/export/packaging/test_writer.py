"""A bundle's directory is the old bundle or the new one, at every instant."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from emo_export.packaging import writer as module
from emo_export.packaging.writer import package
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.errors import EmoError
from helpers.processes import run_python


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def files(tiny_bundle: object) -> dict[str, bytes]:
    return files_of(tiny_bundle())  # type: ignore[operator]


def renamed(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    """The same bundle under another name of the same length, to distinguish the two."""
    manifest = files["manifest.json"]
    old = open_name(manifest)
    return {**files, "manifest.json": manifest.replace(old, name.ljust(len(old)).encode(), 1)}


def open_name(manifest: bytes) -> bytes:
    return manifest.split(b'"name": "', 1)[1].split(b'"', 1)[0]


def test_written_and_whole(files: dict[str, bytes], tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    package(files, target, force=False)
    assert files_of(target) == files
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]


def test_empty_directory_is_taken(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    package(files, tmp_path / "bundle", force=False)
    assert files_of(tmp_path / "bundle") == files


def test_old_bundle_stays_without_force(files: dict[str, bytes], tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    package(files, target, force=False)
    with pytest.raises(EmoError, match="--force replaces it"):
        package(renamed(files, "x"), target, force=False)
    assert files_of(target) == files


@pytest.mark.parametrize("can_exchange", [True, False])
def test_replaced_with_force(
    files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    can_exchange: bool,
) -> None:
    if not can_exchange:
        monkeypatch.setattr(module, "_exchange", lambda *_: False)
    target = tmp_path / "bundle"
    package(files, target, force=False)
    new = renamed(files, "x")
    package(new, target, force=True)
    assert files_of(target) == new
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_other_directories_are_never_replaced(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"photo")
    with pytest.raises(EmoError, match="other files than an export"):
        package(files, tmp_path / "photos", force=True)
    assert (tmp_path / "photos" / "one.jpg").read_bytes() == b"photo"


def test_damaged_files_never_get_the_name(files: dict[str, bytes], tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    package(files, target, force=False)
    with pytest.raises(EmoError, match=r"exported files: golden.json"):
        package({**files, "golden.json": b"{}"}, target, force=True)
    assert files_of(target) == files
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_full_disk_leaves_the_old_bundle(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    package(files, target, force=False)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EmoError, match="No space left on device"):
        package(renamed(files, "x"), target, force=True)
    assert files_of(target) == files
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(files: dict[str, bytes], tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(EmoError, match="Permission denied"):
            package(files, tmp_path / "bundle", force=False)
    finally:
        tmp_path.chmod(0o755)


WHOLE_RUN = """
import sys
from emo_export.cli import main
main(sys.argv[1:])
"""


@pytest.mark.endurance
@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2's exchange")
def test_whole_runs_killed_at_any_instant(
    maker: Any, files: dict[str, bytes], few_csv: Path, tmp_path: Path
) -> None:
    """kill -9 at twenty instants of a run: the old bundle, or the new one."""
    target = tmp_path / "bundle"
    package(files, target, force=False)
    words = ["--text", maker.text(), "--quantize", "--no-gate", "--evaluate", few_csv, "--force"]
    command = [sys.executable, "-c", WHOLE_RUN, *words, "--output", target]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    whole_s = time.monotonic() - start
    new = files_of(target)
    for number in range(20):
        package(files, target, force=True)
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        time.sleep(whole_s * (0.5 + 0.03 * number))
        process.kill()
        process.wait()
        open_bundle(target).verify()
        assert files_of(target) in [files, new]


KILLED = """
import os, pickle, random, signal, sys, time
from pathlib import Path
from emo_export.packaging.writer import package
from emo_runtime.bundle.reader import open_bundle

bundles, target = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])
draw = random.Random(3)
killed = at_work = 0
while killed < int(sys.argv[3]):
    child = os.fork()
    if not child:
        while True:
            for files in bundles:
                package(files, target, force=True)
    time.sleep(draw.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    open_bundle(target).verify()
    assert {path.name: path.read_bytes() for path in target.iterdir()} in bundles
    at_work += len(list(target.parent.glob(".bundle.*"))) > 0
print(killed, at_work)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2's exchange")
@pytest.mark.parametrize("kills", [12, pytest.param(1_000, marks=pytest.mark.endurance)], ids=str)
def test_killed_at_any_instant(files: dict[str, bytes], tmp_path: Path, kills: int) -> None:
    """kill -9 in a loop: always one of two whole bundles has the name."""
    import pickle

    target = tmp_path / "bundle"
    bundles = [files, renamed(files, "x")]
    package(files, target, force=False)
    (tmp_path / "bundles").write_bytes(pickle.dumps(bundles))
    done = run_python(
        "-c", KILLED, tmp_path / "bundles", target, str(kills), timeout=600 + 10 * kills
    )
    assert done.returncode == 0, done.stderr
    killed, at_work = map(int, done.stdout.split())
    assert killed == kills
    assert at_work > kills / 2, "most kills come while a bundle is being written"
    package(files, target, force=True)  # and temporary files are removed
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "bundles"}
