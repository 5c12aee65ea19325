"""Interface of the engines under measurement."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from emo_bench.workload import Sample
from emo_runtime import EmotionStream


@dataclass(frozen=True)
class Outcome:
    """Answer to one utterance; ``phases`` maps a step to its milliseconds, if known."""

    label: str
    scores: Mapping[str, float]
    tokens: int = 0
    phases: Mapping[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """A system that answers utterances.

    ``concurrency`` is the number of threads that may call ``answer`` at once.
    """

    concurrency: int

    def answer(self, sample: Sample) -> Outcome:
        """Return the emotion of one utterance."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return versions, precision, threads, providers and the size of the model."""
        ...

    def close(self) -> None:
        """Release resources."""
        ...


@runtime_checkable
class StreamingEngine(Engine, Protocol):
    """An engine that also answers live calls."""

    def stream(self, sample_rate: int) -> EmotionStream:
        """Open a live utterance of 16-bit samples."""
        ...
