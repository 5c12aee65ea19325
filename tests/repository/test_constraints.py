"""The lowest and the newest supported versions are the tested ones."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
BASE = [
    Requirement(line)
    for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
]


def pins(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text().splitlines()
    found = [re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines if line[:1] != "#"]
    return {match[1].lower(): Version(match[2]) for match in found if match}


def test_the_lowest_versions_are_the_bounds() -> None:
    lowest = pins("constraints-lowest.txt")
    assert list(lowest) == [requirement.name for requirement in BASE]
    for requirement in BASE:
        [bound] = requirement.specifier
        assert bound.operator == ">="
        tested = lowest[requirement.name]
        assert (
            tested.release[: len(Version(bound.version).release)] == Version(bound.version).release
        )
        assert tested in requirement.specifier


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-newest.txt"])
def test_what_is_tested_is_allowed(name: str) -> None:
    tested = pins(name)
    for requirement in BASE:
        assert tested[requirement.name] in requirement.specifier


def test_the_newest_versions_are_not_older_than_the_pinned_ones() -> None:
    usual, newest = pins("constraints.txt"), pins("constraints-newest.txt")
    assert all(newest[name] >= usual[name] for name in newest)
