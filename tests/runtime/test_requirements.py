"""Requirements from metadata, compared with the library `packaging`."""

import importlib.metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement as Reference
from packaging.specifiers import SpecifierSet

from emo_runtime.requirements import extras, fits, requirements_of

LINES = importlib.metadata.requires("emo-runtime") or []
RELEASES = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(lambda p: ".".join(map(str, p)))


def reference(extra):
    """Names and versions by `packaging`, of an extra without its nested extras."""
    found = {}
    for line in LINES:
        item = Reference(line)
        of_extra = item.marker is not None and "extra" in str(item.marker)
        applies = item.marker is None or item.marker.evaluate({"extra": extra or ""})
        if applies and of_extra == (extra is not None) and item.name != "emo-runtime":
            found[item.name] = str(item.specifier)
    return found


@pytest.mark.parametrize("extra", [None, *extras()])
def test_requirements_are_those_of_packaging(extra):
    found = {item.name: SpecifierSet(item.versions) for item in requirements_of(extra)}
    for name, versions in reference(extra).items():
        assert found[name] == SpecifierSet(versions)
    assert found or extra is not None


def test_nested_extras_are_followed_once():
    lines = [
        'a>=1; extra == "one"',
        'emo-runtime[one,two]; extra == "two"',
        'b<2,>=1; extra == "two"',
        "c>=3",
    ]
    assert [item.name for item in requirements_of("two", lines)] == ["a", "b"]
    assert [item.name for item in requirements_of(None, lines)] == ["c"]


@given(RELEASES, RELEASES, st.sampled_from([">=", "<=", "<", ">", "==", "!="]))
def test_comparisons_are_those_of_packaging(version, bound, comparison):
    assert fits(version, f"{comparison}{bound}") == (
        version in SpecifierSet(f"{comparison}{bound}")
    )


def test_what_is_missing_and_what_is_too_old():
    [missing] = requirements_of("x", ['no-such-distribution>=1; extra == "x"'])
    assert missing.problem == "no-such-distribution is not installed"
    [old] = requirements_of("x", ['click>=999; extra == "x"'])
    version = importlib.metadata.version("click")
    assert old.problem == f"click {version} is installed, required is >=999"
    [good] = requirements_of("x", ['click>=8; extra == "x"'])
    assert good.problem is None
