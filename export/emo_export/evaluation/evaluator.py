"""The bench of an export: the reference's answers once, and any set of graphs against them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.compare import Comparison, Graphs, compare, verify
from emo_export.evaluation.reference import Answers, reference
from emo_export.evaluation.rows import Evaluation
from emo_runtime.bundle.manifest import Audio, Precision, TaskName

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Rows to measure on, with what the checkpoint in PyTorch answers to them.

    ``mfcc`` is [rows, n_mfcc], or None without a fusion network.
    """

    checkpoints: Checkpoints
    evaluation: Evaluation
    contract: Audio | None
    mfcc: Floats | None
    expected: Answers

    @classmethod
    def of(
        cls, checkpoints: Checkpoints, evaluation: Evaluation, contract: Audio | None
    ) -> "Evaluator":
        """Ask the reference for its answers."""
        mfcc = None if contract is None else evaluation.mfcc(contract)
        expected = reference(checkpoints, evaluation.texts, mfcc)
        return cls(checkpoints, evaluation, contract, mfcc, expected)

    @property
    def evaluated(self) -> str:
        """What it is measured on, in words."""
        return f"{self.evaluation.name} ({len(self.evaluation.rows)} rows)"

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks of the bundle."""
        fusion = self.checkpoints.fusion
        if fusion is None:
            return ("text",)
        return ("text", "fusion", "audio") if fusion.present_input else ("text", "fusion")

    def subsample(self, step: int) -> "Evaluator":
        """A bench of every ``step``-th row."""
        rows = Evaluation(self.evaluation.name, self.evaluation.rows[::step])
        fusion = self.expected.fusion
        return Evaluator(
            self.checkpoints,
            rows,
            self.contract,
            None if self.mfcc is None else self.mfcc[::step],
            Answers(self.expected.text[::step], None if fusion is None else fusion[::step]),
        )

    def ask(self, graphs: Graphs) -> Answers:
        """What a complete set of graphs answers to the rows."""
        return verify(graphs, self.checkpoints, self.evaluation.texts, self.mfcc)

    def compare(self, precision: Precision, found: Answers) -> tuple[Comparison, ...]:
        """Answers against the reference's, by task."""
        text, fusion = self.checkpoints.text, self.checkpoints.fusion
        labels = self.evaluation.label_ids(text.labels)
        result = [
            compare(
                "text",
                precision,
                self.expected.text,
                found.text,
                temperature=text.temperature,
                label_ids=labels,
            )
        ]
        if fusion is not None and self.expected.fusion is not None and found.fusion is not None:
            heard = all(row.audio is not None for row in self.evaluation.rows)
            result.append(
                compare(
                    "fusion",
                    precision,
                    self.expected.fusion,
                    found.fusion,
                    temperature=fusion.temperature,
                    label_ids=labels if heard else None,
                )
            )
        return tuple(result)

    def try_out(self, texts: Sequence[str], mfcc: Floats, graphs: Graphs) -> Answers:
        """What a complete set of graphs answers to other rows."""
        return verify(graphs, self.checkpoints, texts, mfcc)
