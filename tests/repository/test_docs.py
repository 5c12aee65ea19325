"""What the documents say is what the code does."""

import json
from pathlib import Path

from emo_runtime.bundle.manifest import json_schema

ROOT = Path(__file__).resolve().parents[2]


def test_the_manifests_schema_in_docs_is_current():
    kept = json.loads((ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8"))
    assert kept == json_schema(), "run `make schema`"


def test_readme_and_card_say_that_the_weights_are_not_for_commerce():
    for document in ("README.md", "models/emo_models/bundles/default/CARD.md"):
        text = (ROOT / document).read_text(encoding="utf-8").lower()
        assert "non-commercial" in text
        assert "apache-2.0" in text
