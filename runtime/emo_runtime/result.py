"""Utterances and answers, the input and the output of a recognizer."""

from dataclasses import dataclass
from typing import Any

from emo_runtime.audio.decode import AudioSource
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.notes import Note
from emo_runtime.speaker import Speaker


@dataclass(frozen=True, eq=False)
class Utterance:
    """The transcript of one utterance, its sound, or both.

    ``task`` requires a task. ``speaker`` is a profile, or a name: in a batch, the utterances of one
    name share a profile.
    """

    text: str | None = None
    audio: AudioSource | None = None
    task: TaskName | None = None
    speaker: Speaker | str | None = None


@dataclass(frozen=True)
class Timings:
    """Milliseconds of each step of one answer; 0 if a step was not needed."""

    decode_ms: float = 0.0
    resample_ms: float = 0.0
    front_end_ms: float = 0.0
    speech_ms: float = 0.0
    tokenize_ms: float = 0.0
    text_ms: float = 0.0
    fusion_ms: float = 0.0
    total_ms: float = 0.0

    def by_step(self) -> dict[str, float]:
        """Milliseconds by the step's name ("decode" ... "total")."""
        return {name.removesuffix("_ms"): value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Answer:
    """The emotion of one utterance.

    Attributes:
        task: The task that was run.
        label: The most probable label.
        confidence: Its probability.
        scores: Calibrated probability of every label, in the bundle's order. They sum to 1, except
            those of multi-label models.
        tokens: Tokens of the transcript.
        duration_s: Seconds of sound.
        provider: Execution provider that computed the logits.
        timings: Milliseconds by step.
        notes: Remarks on the input, such as a truncated recording; each has a stable
            ``code`` (see ``emo_runtime.notes``).
        uncertain: True if ``confidence`` is below ``open(min_confidence=)``.
    """

    task: TaskName
    label: str
    confidence: float
    scores: dict[str, float]
    tokens: int
    duration_s: float
    provider: str
    timings: Timings
    notes: tuple[Note, ...] = ()
    uncertain: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values for JSON."""
        return {
            **vars(self),
            "scores": dict(self.scores),
            "timings": dict(vars(self.timings)),
            "notes": [note.to_dict() for note in self.notes],
        }
