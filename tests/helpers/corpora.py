"""Location of the corpora, which are not part of the project; tests without them are skipped.

The folder is ``../shared/data`` beside the repository, or the value of EMO_DATA.
"""

import csv
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("EMO_DATA", ROOT.parent / "shared" / "data"))
SMALL_BUNDLE = ROOT / "models" / "emo_models" / "bundles" / "emo_es_small"
CHECKPOINTS = ROOT / "models" / "checkpoints"
CHECKPOINT = CHECKPOINTS / "emo-es-small"
CLIPS = ROOT / "examples" / "clips"


def needs(folder: str) -> pytest.MarkDecorator:
    """Skip the test if the corpus ``folder`` is missing."""
    return pytest.mark.skipif(
        not (DATA / folder).is_dir(), reason=f"the corpus {folder} is not at {DATA / folder}"
    )


def rows(name: str) -> list[dict[str, str]]:
    """Return all rows of a corpus's CSV file."""
    with open(DATA / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def meacorpus_texts() -> list[str]:
    """Return all 5,129 transcripts of MEACorpus."""
    return [row["transcription"] for row in rows("meacorpus/meacorpus-2023.csv")]


def nemo_clips() -> list[Path]:
    """Return all clips of nEMO, in the order of its table."""
    return [DATA / "nemo" / row["file"] for row in rows("nemo/nemo.csv")]
