"""Engines: what answers an utterance. Ours here; the others in ``rivals``; all behind one face."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from emo_bench.workload import Sample


@dataclass(frozen=True)
class Outcome:
    """An answer as a benchmark sees it; ``phases`` are milliseconds by step, where known."""

    label: str
    scores: Mapping[str, float]
    tokens: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """One way to answer utterances. ``answer`` may be called from several threads at once."""

    concurrency: int

    def answer(self, sample: Sample) -> Outcome:
        """The emotion of one utterance."""
        ...

    def describe(self) -> dict[str, Any]:
        """Versions, precision, threads, providers: what really runs."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class EmoEngine:
    """emo-runtime itself. ``serving``: as many utterances at once as there are threads."""

    def __init__(
        self,
        bundle: str | None,
        *,
        threads: int | None,
        provider: str = "auto",
        variant: Any = None,
        serving: bool = False,
    ) -> None:
        from emo_runtime import EmotionRecognizer

        self._recognizer = EmotionRecognizer.open(
            bundle,
            providers=provider,
            threads=threads,
            variant=variant,
            mode="throughput" if serving else "latency",
            self_test=False,
        )
        self.concurrency = self._recognizer.describe()["threads"]["count"] if serving else 1

    def answer(self, sample: Sample) -> Outcome:
        """Text alone, or text and sound, as the sample has them."""
        answer = self._recognizer.recognize(sample.text, sample.audio)
        return Outcome(answer.label, answer.scores, answer.tokens, answer.timings.by_step())

    def stream(self, sample_rate: int) -> Any:
        """A live utterance of 16-bit samples."""
        return self._recognizer.stream(sample_rate=sample_rate)

    def describe(self) -> dict[str, Any]:
        """The recognizer's own description, the bundle's size and what its export measured."""
        manifest = self._recognizer.manifest
        comparisons = manifest.verification.get("comparisons", [])
        return self._recognizer.describe() | {
            "model_bytes": sum(file.bytes for file in manifest.files()),
            "label_agreement_with_fp32": {
                f"{item['task']} {item['precision']}": item["agreement"] for item in comparisons
            },
        }

    def close(self) -> None:
        """Close the recognizer."""
        self._recognizer.close()


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
