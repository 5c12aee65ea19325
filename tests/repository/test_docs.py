"""Documents: schemas are current, links lead somewhere, code blocks run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from emo_runtime.bundle.manifest import json_schema
from helpers.corpora import CLIPS, ROOT
from helpers.markdown import Block, read_blocks
from helpers.processes import environment

DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
BLOCKS = {path: read_blocks(path) for path in DOCUMENTS}
SHELL = [
    pytest.param(
        block,
        id=str(block),
        marks=[pytest.mark.skip(reason=block.skip)] if block.skip else [],
    )
    for blocks in BLOCKS.values()
    for block in blocks
    if block.language in {"sh", "shell", "bash", "console"}
]
WITH_PYTHON = [
    path
    for path, blocks in BLOCKS.items()
    if any(block.language == "python" and not block.skip for block in blocks)
]
SLUG_DROPS = re.compile(r"[^\w\- ]")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A directory with the example files and the file names that the documents use."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    samples, rate = soundfile.read(CLIPS / "queja.flac")
    soundfile.write(tmp_path / "llamada.wav", samples, rate)
    for name in ("call.flac", "customer.vtt", "agent.vtt"):
        shutil.copy(ROOT / "examples" / "call" / name, tmp_path / name)
    shutil.copy(ROOT / "examples" / "call" / "customer.vtt", tmp_path / "call.vtt")
    (tmp_path / "calls.csv").write_text("id,text\n1,Qué alegría verte.\n", encoding="utf-8")
    return tmp_path


def run(command: list[str], cwd: Path) -> str:
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([bin_folder, os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(PATH=path, HOME=str(cwd)),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("block", SHELL)
def test_a_shell_block_runs(block: Block, scratch: Path) -> None:
    # Installing this very package is what `make` did before the tests.
    lines = [
        line
        for line in block.code.splitlines()
        if not line.startswith(("pip install", "python -m venv", ". venv/bin/activate", "make "))
    ]
    output = run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], scratch)
    if block.output is not None:
        assert output == block.output


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_blocks_of_a_document_run_in_their_order(path: Path, scratch: Path) -> None:
    blocks = [block for block in BLOCKS[path] if block.language == "python" and not block.skip]
    mark = "-- end of block --"
    code = "\n".join(f"{block.code}\nprint({mark!r})" for block in blocks)
    (scratch / "document.py").write_text(code, encoding="utf-8")
    outputs = run([sys.executable, "document.py"], scratch).split(f"{mark}\n")
    for block, output in zip(blocks, outputs, strict=False):
        if block.output is not None:
            assert output == block.output, f"{block}: prints {output!r}"


def test_few_blocks_are_skipped() -> None:
    blocks = [
        block
        for blocks in BLOCKS.values()
        for block in blocks
        if block.language in {"sh", "shell", "bash", "console", "python"}
    ]
    skipped = [
        str(block) for block in blocks if block.skip and not block.skip.startswith("run by tests/")
    ]
    assert len(skipped) <= 0.4 * len(blocks), skipped


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_and_headings_exist(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, heading = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), f"{path.name}: {target} does not exist"
        if heading:
            assert heading in headings(file), f"{path.name}: {target} has no such heading"


def headings(path: Path) -> set[str]:
    """Return the anchors of a page: of its titles, and of the names that mkdocstrings describes."""
    text = path.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    names = re.findall(r"^::: (\S+)$", text, re.MULTILINE)
    return {SLUG_DROPS.sub("", title.lower()).replace(" ", "-") for title in titles} | {*names}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_of_documents_are_wrapped_at_100(path: Path) -> None:
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.startswith("```")
        free = fenced or line.startswith(("|", "![", "[")) or " " not in line.strip()
        assert free or len(line) <= 100, f"{path.name}:{number}: {len(line)} characters"


def test_the_schema_of_the_manifest_is_current() -> None:
    kept = json.loads((ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(), "run `make schema`"


def test_readme_and_card_state_the_licences() -> None:
    for document in ("README.md", "models/emo_models/bundles/emo_es_small/CARD.md"):
        text = (ROOT / document).read_text(encoding="utf-8").lower()
        assert "non-commercial" in text
        assert "apache-2.0" in text
