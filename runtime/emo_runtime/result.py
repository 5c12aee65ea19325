"""What goes in and what comes out: utterances and answers."""

from dataclasses import dataclass
from typing import Any

from emo_runtime.audio.decode import AudioSource
from emo_runtime.bundle.manifest import TaskName


@dataclass(frozen=True, eq=False)
class Utterance:
    """One thing said: its transcript, its sound, or both; ``task`` insists on a task."""

    text: str | None = None
    audio: AudioSource | None = None
    task: TaskName | None = None


@dataclass(frozen=True)
class Timings:
    """Where the milliseconds of one answer went; 0 where a step was not needed."""

    decode_ms: float = 0.0
    resample_ms: float = 0.0
    mfcc_ms: float = 0.0
    tokenize_ms: float = 0.0
    text_ms: float = 0.0
    fusion_ms: float = 0.0
    total_ms: float = 0.0

    def by_step(self) -> dict[str, float]:
        """Milliseconds by the step's name ("decode" ... "total")."""
        return {name.removesuffix("_ms"): value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Answer:
    """One utterance's emotion.

    ``scores`` maps every label to its calibrated probability (they sum to 1), in the bundle's
    order; ``label`` is the likeliest and ``confidence`` its probability. ``provider`` is the
    execution provider that gave the logits. ``notes`` tell what an integrator should know about
    the input, such as a transcript that was cut.
    """

    task: TaskName
    label: str
    confidence: float
    scores: dict[str, float]
    tokens: int
    duration_s: float
    provider: str
    timings: Timings
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values, ready for JSON."""
        return {**vars(self), "scores": dict(self.scores), "timings": dict(vars(self.timings))}
