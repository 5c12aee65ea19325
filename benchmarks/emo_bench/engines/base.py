"""Engines: what answers an utterance. Ours here; the others in ``rivals``; all behind one face."""

from collections.abc import Mapping
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
