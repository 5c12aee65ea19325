"""Run all seeds, all truncations of the short ones, and all earlier findings."""

from pathlib import Path

import pytest

from fuzz.seeds import seeds
from fuzz.targets import TARGETS

FOUND = [path for path in (Path(__file__).parent / "found").iterdir() if path.name != "README.md"]


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_whole_and_cut(name):
    for seed in seeds()[name]:
        TARGETS[name](seed)
        for length in range(0, len(seed), max(1, len(seed) // 50)):
            TARGETS[name](seed[:length])


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_was_found(path):
    TARGETS[path.name.partition("-")[0]](path.read_bytes())
