"""The bundle that ships is the export of the checkpoint in the repository."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from emo_export.cli import main
from emo_runtime.version import __version__
from helpers.corpora import CHECKPOINT, SMALL_BUNDLE

TEXT = CHECKPOINT / "text"


def tools(manifest: Path) -> dict[str, str]:
    versions: dict[str, str] = json.loads(manifest.read_text())["provenance"]["tools"]
    return versions


@pytest.mark.skipif(not TEXT.is_dir(), reason=f"no trained checkpoint at {TEXT}")
def test_the_shipped_bundle_is_what_emo_export_makes(tmp_path: Path) -> None:
    """Byte for byte, graphs and tokenizer on any machine.

    Measured figures (in manifest.json and CARD.md) may differ in their last digits on another kind
    of processor, and everything may with other versions of the tools.
    """
    result = CliRunner().invoke(main, ["--quantize", "--output", str(tmp_path / "bundle")])
    assert result.exit_code == 0, result.stderr
    shipped, made = (
        tools(SMALL_BUNDLE / "manifest.json"),
        tools(tmp_path / "bundle/manifest.json"),
    )
    assert made["emo-runtime"] == __version__
    different = {name for name in shipped if shipped[name] != made.get(name)}
    if different:
        pytest.skip(f"the bundle was made with other versions of {', '.join(sorted(different))}")
    names = {path.name for path in SMALL_BUNDLE.iterdir() if path.is_file()}
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == names
    for name in names - {"manifest.json", "CARD.md", "golden.json"}:
        assert (SMALL_BUNDLE / name).read_bytes() == (tmp_path / "bundle" / name).read_bytes()
    for name in ("manifest.json", "CARD.md", "golden.json"):
        one, other = (
            (folder / name).read_text("utf-8") for folder in (SMALL_BUNDLE, tmp_path / "bundle")
        )
        if one != other:
            assert without_figures(one) == without_figures(other), name


def without_figures(text: str) -> str:
    """The text with every digit, sign and hash left out: last digits depend on the processor."""
    return "".join(c for c in text if c.isalpha() and c not in "abcdef")
