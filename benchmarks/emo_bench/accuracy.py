"""Agreement between two engines, and macro-F1 against true labels."""

from collections.abc import Sequence

from emo_bench.engines.base import Outcome


def agreement(outcomes: Sequence[Outcome], reference: Sequence[Outcome]) -> tuple[float, float]:
    """Return the share of equal labels and the largest difference of a probability."""
    pairs = list(zip(outcomes, reference, strict=True))
    same = sum(ours.label == theirs.label for ours, theirs in pairs) / len(pairs)
    largest = max(
        abs(ours.scores[label] - theirs.scores[label])
        for ours, theirs in pairs
        for label in theirs.scores
    )
    return same, largest


def against_labels(outcomes: Sequence[Outcome], labels: Sequence[str | None]) -> dict[str, float]:
    """Return macro-F1 over the true labels that occur; an empty dictionary without labels."""
    pairs = [(o.label, label) for o, label in zip(outcomes, labels, strict=True) if label]
    if not pairs:
        return {}
    # Imported late: only labelled workloads need it, and it takes a second.
    from sklearn.metrics import f1_score

    found, true = zip(*pairs, strict=True)
    macro_f1 = f1_score(true, found, labels=sorted(set(true)), average="macro", zero_division=0.0)
    return {"macro_f1": float(macro_f1), "labelled": float(len(pairs))}
