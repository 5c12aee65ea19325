"""Comparison of any set of graphs with the reference predictions, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.compare import Comparison, Graphs, Memory, Targets, compare, verify
from emo_export.evaluation.inputs import Inputs
from emo_export.evaluation.reference import Answers, reference
from emo_export.evaluation.rows import SHIPPED, SHIPPED_CLIPS, Evaluation
from emo_runtime.bundle.front_ends import FrontEndSettings
from emo_runtime.bundle.manifest import Precision, TaskName


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Evaluation rows, with the predictions of the checkpoint in PyTorch."""

    checkpoints: Checkpoints
    evaluation: Evaluation
    inputs: Inputs
    expected: Answers
    _memory: Memory = field(default_factory=Memory)

    @classmethod
    def of(
        cls, checkpoints: Checkpoints, evaluation: Evaluation, front_end: FrontEndSettings | None
    ) -> "Evaluator":
        """Compute the reference predictions."""
        inputs = inputs_of(checkpoints, evaluation, front_end)
        return cls(checkpoints, evaluation, inputs, reference(checkpoints, inputs))

    @property
    def evaluated(self) -> str:
        """Description of the rows."""
        rows = f"{self.evaluation.name} ({len(self.evaluation.rows)} rows)"
        if self.inputs.sound is None or not self.inputs.sound.clips or self.has_sound:
            return rows
        if self.evaluation.name == SHIPPED_CLIPS:
            return rows
        return f"{rows} with {self.inputs.sound.count} clips of synthetic speech-like sound"

    @property
    def has_sound(self) -> bool:
        """True if every row has its own sound."""
        return all(row.audio is not None for row in self.evaluation.rows)

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks of the bundle."""
        return self.checkpoints.tasks

    def subsample(self, step: int, clips: int | None = None) -> "Evaluator":
        """Return an evaluator of every ``step``-th row, with at most ``clips`` clips."""
        sound = self.inputs.sound
        if sound is not None and clips is not None:
            step = max(step, -(-sound.count // clips)) if self._one_clip_per_row else step
        rows = Evaluation(self.evaluation.name, self.evaluation.rows[::step])
        audio = self.expected.audio
        if sound is not None:
            sound, used = sound.take(step)
            audio = None if audio is None else audio[used]
        text, fusion = self.expected.text, self.expected.fusion
        return Evaluator(
            self.checkpoints,
            rows,
            Inputs(self.inputs.texts[::step], sound),
            Answers(
                None if text is None else text[::step],
                None if fusion is None else fusion[::step],
                audio,
            ),
        )

    @property
    def _one_clip_per_row(self) -> bool:
        sound = self.inputs.sound
        return sound is not None and sound.count == len(self.evaluation.rows)

    def ask(self, graphs: Graphs) -> Answers:
        """Return the predictions of a complete set of graphs for the rows."""
        return verify(graphs, self.checkpoints, self.inputs, self._memory)

    def compare(self, precision: Precision, found: Answers) -> tuple[Comparison, ...]:
        """Compare predictions with the reference's, by task."""
        result = []
        for task in self.tasks:
            expected, answered = self.expected.of(task), found.of(task)
            if expected is None or answered is None:
                continue
            multi_label = self.checkpoints.activation(task) == "sigmoid"
            labelled = task == "text" or (
                self.has_sound and (task == "fusion" or self._one_clip_per_row)
            )
            found_here = compare(
                task,
                precision,
                expected,
                answered,
                temperature=self.checkpoints.temperature(task),
                targets=self._targets(multi_label=multi_label) if labelled else None,
                own_labels=self.evaluation.name != SHIPPED,
                multi_label=multi_label,
            )
            random = task != "text" and not self.has_sound and self.checkpoints.speech is None
            result.append(replace(found_here, random_sound=random))
        return tuple(result)

    def _targets(self, *, multi_label: bool) -> Targets | None:
        return self.evaluation.targets(self.checkpoints.labels, multi_label=multi_label)

    def mean_change(self, found: Answers, tasks: Sequence[TaskName]) -> float:
        """Return the mean absolute change of the probabilities, summed over tasks."""
        total = 0.0
        for task in tasks:
            expected, answered = self.expected.of(task), found.of(task)
            if expected is not None and answered is not None:
                probabilities = self.checkpoints.probabilities
                change = probabilities(task, answered) - probabilities(task, expected)
                total += float(abs(change).mean())
        return total

    def try_out(self, inputs: Inputs, graphs: Graphs) -> Answers:
        """Return the predictions of a complete set of graphs for other rows."""
        return verify(graphs, self.checkpoints, inputs)


def inputs_of(
    checkpoints: Checkpoints, evaluation: Evaluation, front_end: FrontEndSettings | None
) -> Inputs:
    """Return the inputs of the rows for the parts that the bundle has."""
    texts = evaluation.texts if checkpoints.text or checkpoints.fusion else []
    sound = None if front_end is None else evaluation.sound(front_end)
    return Inputs(texts, sound)
