"""The wheel is built, installed into an empty environment, and used."""

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def source_files() -> list[str]:
    """Return the paths of the files that git knows or would add."""
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return [name for name in listing.split("\0") if name]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy of what git knows: the build leaves nothing behind in the working tree.
    for name in source_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():  # a link to a folder
            shutil.copytree(ROOT / name, source / name)
        elif (ROOT / name).is_file():
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", str(folder)]
    run(*pip, str(source), cwd=folder)
    [built] = folder.glob("emo_runtime-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "install", "--constraint", ROOT / "constraints.txt", wheel, cwd=folder)
    return folder


def test_the_wheel_answers_in_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    clip = ROOT / "examples/clips/queja.flac"
    output = run(
        environment / "bin/emo-predict",
        "--json",
        "--text",
        "¡Qué vergüenza!",
        "--audio",
        clip,
        cwd=tmp_path,
    )
    answer = json.loads(output)
    assert answer["task"] == "fusion"
    assert answer["label"] in answer["scores"]


def test_the_examples_of_the_page_are_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("clips", "call"):
        for file in (ROOT / "examples" / folder).iterdir():
            assert f"emo_serving/page/{folder}/{file.name}" in names


ROOTS = {
    "emo_runtime": "runtime",
    "emo_models": "models",
    "emo_export": "export",
    "emo_bench": "benchmarks",
    "emo_serving": "serving",
    "emo_integrations": "serving",
}
COMMANDS = {
    *("emo-runtime", "emo-doctor", "emo-predict", "emo-bundle", "emo-train", "emo-evaluate"),
    *("emo-export", "emo-bench", "emo-serve"),
}


def test_the_wheel_has_the_packages_and_nothing_else(wheel: Path) -> None:
    """Every file is a tracked one of a package; every tracked module and bundle is in it."""
    tracked = {
        path.partition("/")[2]
        for path in source_files()
        for package, root in ROOTS.items()
        if path.startswith(f"{root}/{package}/") and (ROOT / path).is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        [entry_points] = [name for name in names if name.endswith("/entry_points.txt")]
        scripts = archive.read(entry_points).decode().partition("[console_scripts]")[2]
    information = {name for name in names if ".dist-info/" in name}
    assert {name.partition("/")[0] for name in names - information} == set(ROOTS)
    # The examples of the page are links in the source tree.
    linked = {
        name
        for name in names
        if name.startswith(("emo_serving/page/clips/", "emo_serving/page/call/"))
    }
    assert names - information - linked <= tracked
    needed = {name for name in tracked if name.endswith((".py", "py.typed")) or "/bundles/" in name}
    assert needed <= names
    assert {
        line.partition(" ")[0] for line in scripts.partition("[")[0].split("\n") if line
    } == COMMANDS


def test_the_wheel_is_smaller_than_the_limit_of_pypi(wheel: Path) -> None:
    assert wheel.stat().st_size < 95 * MEGABYTE  # PyPI takes files of up to 100 MB


def test_the_installed_bundle_is_whole(environment: Path, tmp_path: Path) -> None:
    assert "Self-test passed" in run(environment / "bin/emo-bundle", "verify", cwd=tmp_path)


def test_the_base_install_is_small_and_has_no_pytorch(environment: Path) -> None:
    [packages] = environment.glob("lib/python*/site-packages")
    bundles = packages / "emo_models" / "bundles"
    size = _size(packages) - _size(bundles)
    assert size < 236 * MEGABYTE
    assert _size(bundles) < 95 * MEGABYTE
    assert not {"torch", "transformers", "librosa", "onnx", "scipy"} & {
        entry.name for entry in packages.iterdir()
    }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("train", "emo-train text --train none.csv --encoder none --output run"),
        ("export", "emo-export --quantize"),
        ("bench", "emo-bench"),
        ("serve", "emo-serve"),
        ("ray", "emo-predict --ray --input calls.jsonl --output answers"),
    ],
)
def test_a_command_without_its_extra_names_it(
    environment: Path, tmp_path: Path, extra: str, command: str
) -> None:
    name, *arguments = command.split()
    done = subprocess.run(
        [environment / "bin" / name, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1
    assert f'pip install "emo-runtime[{extra}]"' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
