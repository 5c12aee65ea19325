"""The bundle that ships is the export of the checkpoint in the repository, byte for byte.

Its bytes belong to an x86 processor with VNNI. Graphs and tokenizer are compared byte for byte on
every processor: they depend on the weights only. Golden probabilities are PyTorch's, in float32,
whose last digits depend on the processor's maker; figures of int8 are measured with the processor's
int8 instructions. These fields, and no others, are compared as numbers.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from emo_export.cli import main
from emo_runtime.version import __version__
from helpers.corpora import CHECKPOINT, SMALL_BUNDLE

TEXT = CHECKPOINT / "text"
# Another order of the float32 sums changes a logit by 4e-6: manifest.json has that difference
# between PyTorch and ONNX Runtime for the task audio, whose graph is float32. A probability changes
# by at most p(1 - p) <= 1/4 of it.
LAST_DIGITS = 1e-6
# Largest differences from PyTorch, which are logits too: 4e-6 on either processor, with a margin.
ROUNDING = 2e-5
DIFFERENCES = (
    "mean_probability_difference", "largest_probability_difference", "largest_logit_difference",
)  # fmt: skip
CPU = Path("/proc/cpuinfo")
VNNI = CPU.is_file() and bool(re.search(r"\b(avx512_vnni|avx_vnni)\b", CPU.read_text()))


def read(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export, with the versions that made the bundle."""
    if not TEXT.is_dir():
        pytest.skip(f"no trained checkpoint at {TEXT}")
    output = tmp_path_factory.mktemp("small") / "bundle"
    result = CliRunner().invoke(main, ["--quantize", "--output", str(output)])
    assert result.exit_code == 0, result.stderr
    tools, shipped = (
        read(directory, "manifest.json")["provenance"]["tools"]
        for directory in (output, SMALL_BUNDLE)
    )
    assert tools["emo-runtime"] == __version__
    different = {name for name in shipped if shipped[name] != tools.get(name)}
    if different:
        pytest.skip(f"the bundle was made with other versions of {', '.join(sorted(different))}")
    return output


def test_graphs_and_tokenizer_are_equal_on_every_processor(made: Path) -> None:
    names = sorted(path.name for path in SMALL_BUNDLE.iterdir() if path.is_file())
    assert sorted(path.name for path in made.iterdir()) == names
    binary = [name for name in names if name not in {"manifest.json", "CARD.md", "golden.json"}]
    assert binary == ["fusion.fp32.onnx", "text.int8.onnx", "tokenizer.json"]
    for name in binary:
        assert (SMALL_BUNDLE / name).read_bytes() == (made / name).read_bytes(), name


def test_the_manifest_is_equal_but_for_measured_fields(made: Path) -> None:
    """The measured fields: comparisons, and size and hash of the two files that contain them."""
    shipped, found = (
        copy.deepcopy(read(directory, "manifest.json")) for directory in (SMALL_BUNDLE, made)
    )
    measured = []
    for document in (shipped, found):
        for file in ("golden", "card"):
            assert document[file].pop("sha256")
            assert document[file].pop("bytes")
        measured.append(document["verification"].pop("comparisons"))
    assert found == shipped
    for ours, theirs in zip(*measured, strict=True):
        assert ours.keys() == theirs.keys()
        if not VNNI:
            continue  # other int8 instructions give other figures
        for name, value in theirs.items():
            if name in DIFFERENCES:
                assert ours[name] == pytest.approx(value, abs=ROUNDING)
            else:
                assert ours[name] == value, name


@pytest.mark.skipif(
    not VNNI, reason="needs a processor with VNNI: cases are chosen by int8 figures"
)
def test_golden_cases_are_equal_up_to_rounding_errors(made: Path) -> None:
    shipped, found = (read(directory, "golden.json") for directory in (SMALL_BUNDLE, made))
    assert len(found["cases"]) == len(shipped["cases"])
    for ours, theirs in zip(found["cases"], shipped["cases"], strict=True):
        values = ours.pop("probabilities")
        assert values == pytest.approx(theirs.pop("probabilities"), abs=LAST_DIGITS, rel=0)
    assert found == shipped


@pytest.mark.skipif(not VNNI, reason="needs a processor with VNNI: the card has int8 figures")
def test_the_card_is_equal_but_for_the_largest_difference(made: Path) -> None:
    """That column of its table of the export has PyTorch's rounding error in it."""
    shipped, found = (
        (directory / "CARD.md").read_text("utf-8").splitlines()
        for directory in (SMALL_BUNDLE, made)
    )
    columns = next(line for line in shipped if "largest difference of a probability" in line)
    column = [cell.strip() for cell in columns.split("|")].index(
        "largest difference of a probability"
    )
    assert len(found) == len(shipped)
    for ours, theirs in zip(found, shipped, strict=True):
        if ours == theirs:
            continue
        one, other = ours.split("|"), theirs.split("|")
        assert float(one.pop(column)) == pytest.approx(float(other.pop(column)), abs=ROUNDING)
        assert one == other
