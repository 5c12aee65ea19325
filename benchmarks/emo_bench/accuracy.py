"""Agreement between two engines, and macro-F1 against true labels."""

import statistics
from collections.abc import Sequence

from emo_bench.engines.base import Outcome


def agreement(outcomes: Sequence[Outcome], reference: Sequence[Outcome]) -> tuple[float, float]:
    """Share of equal labels, and the largest difference of a probability."""
    pairs = list(zip(outcomes, reference, strict=True))
    same = sum(ours.label == theirs.label for ours, theirs in pairs) / len(pairs)
    largest = max(
        abs(ours.scores[label] - theirs.scores[label])
        for ours, theirs in pairs
        for label in theirs.scores
    )
    return same, largest


def against_labels(outcomes: list[Outcome], labels: list[str | None]) -> dict[str, float]:
    """Macro-F1 over the labels that occur, where the workload has any."""
    pairs = [(o.label, label) for o, label in zip(outcomes, labels, strict=True) if label]
    if not pairs:
        return {}
    scores = []
    for label in sorted({true for _, true in pairs}):
        hits = sum(found == true == label for found, true in pairs)
        claimed = sum(found == label for found, _ in pairs)
        there = sum(true == label for _, true in pairs)
        scores.append(2 * hits / (claimed + there))
    return {"macro_f1": statistics.fmean(scores), "labelled": float(len(pairs))}
