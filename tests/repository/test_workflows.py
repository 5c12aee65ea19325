"""GitHub workflows: valid against their JSON Schema, and the commands they run exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from helpers.corpora import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
    ],
)
def test_files_are_valid(schema: str, files: list[Path]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def steps(path: Path) -> list[str]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_make_targets_and_paths_of_workflows_exist(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in steps(path):
        for match in re.finditer(r"^make (.+)$", command, re.MULTILINE):
            for target in match[1].split():
                assert re.search(rf"^{target}[ :]", makefile, re.MULTILINE), target
        for name in re.findall(r"(?<=\s)tests/\S+", command):
            assert (ROOT / name).exists(), name
