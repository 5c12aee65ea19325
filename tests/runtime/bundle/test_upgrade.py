"""Bundles of every published schema are read and give their golden answers."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from emo_runtime import BundleError, EmotionRecognizer
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.bundle.upgrade import upgrade_bundle
from emo_runtime.cli.bundle import main
from helpers.corpora import ROOT

BUNDLES = ROOT / "tests" / "data" / "bundles"
SCHEMAS = {"emo-bundle-1": "emo-bundle/1", "emo-bundle-2": "emo-bundle/2"}


def schema_of(path):
    return json.loads((path / "manifest.json").read_bytes())["schema"]


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_golden_bundles(name, schema):
    path = BUNDLES / name
    assert schema_of(path) == schema
    recognizer = EmotionRecognizer.open(path, self_test=False)
    assert recognizer.self_test() < 1e-5
    assert recognizer.tasks == ("text", "fusion", "audio")


def test_an_upgraded_bundle_gives_the_same_answers(tmp_path):
    old = BUNDLES / "emo-bundle-1"
    result = CliRunner().invoke(main, ["upgrade", str(old), str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    assert schema_of(tmp_path / "new") == "emo-bundle/2"
    before, after = open_bundle(old), open_bundle(tmp_path / "new")
    assert before.manifest == after.manifest
    assert EmotionRecognizer.open(tmp_path / "new", self_test=False).self_test() < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_an_upgrade_refuses(tmp_path):
    old = Path(shutil.copytree(BUNDLES / "emo-bundle-1", tmp_path / "old"))
    with pytest.raises(BundleError, match="already exists"):
        upgrade_bundle(open_bundle(old), old)
    (old / "CARD.md").write_bytes(b"# Tiny\n\nRandom weights, for tests!\n")
    with pytest.raises(BundleError, match="sha256 differs"):
        upgrade_bundle(open_bundle(old), tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
