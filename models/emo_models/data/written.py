"""Spanish sentences with emotion labels, written for this project (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path

from emo_models.data.corpora import Needs, Row, read_csv

# Columns text, label and domain.
WRITTEN_SENTENCES = Path(__file__).parent / "written_sentences.csv"


def written_sentences() -> list[Row]:
    """Return the sentences."""
    return read_csv(WRITTEN_SENTENCES, needs=Needs(text=True))
