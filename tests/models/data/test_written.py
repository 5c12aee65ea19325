"""The written sentences: balanced, distinct, and unlike the evaluation set."""

from __future__ import annotations

import csv
import re
import statistics
from collections import Counter
from pathlib import Path

from emo_models.data.text_augmentation import text_key
from emo_models.data.written import WRITTEN_SENTENCES, written_sentences
from emo_models.labels import LABELS

VISITOR = Path(__file__).parents[2] / "data" / "visitor_sentences.csv"


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text_key(text)))


def test_every_label_has_a_thousand_distinct_sentences_of_like_length() -> None:
    rows = written_sentences()
    counts = Counter(row.label for row in rows)
    assert set(counts) == set(LABELS)
    assert min(counts.values()) > 1000
    assert len({text_key(row.text or "") for row in rows}) == len(rows)
    lengths = {
        label: statistics.mean(len((row.text or "").split()) for row in rows if row.label == label)
        for label in LABELS
    }
    assert max(lengths.values()) < 1.3 * min(lengths.values())


def test_every_domain_has_every_label() -> None:
    with WRITTEN_SENTENCES.open(encoding="utf-8", newline="") as file:
        found = {(row["domain"], row["label"]) for row in csv.DictReader(file)}
    domains = {domain for domain, _ in found}
    assert found == {(domain, label) for domain in domains for label in LABELS}


def test_no_sentence_is_like_one_of_the_evaluation_set() -> None:
    with VISITOR.open(encoding="utf-8", newline="") as file:
        held_out = [words(row["text"]) for row in csv.DictReader(file)]
    assert len(held_out) == 50
    for row in written_sentences():
        own = words(row.text or "")
        overlap = max(len(own & other) / len(own | other) for other in held_out)
        assert overlap <= 0.6, row.where
