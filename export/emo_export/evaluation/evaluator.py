"""Comparison of any set of graphs with the answers of the reference, computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.compare import Comparison, Graphs, compare, verify
from emo_export.evaluation.reference import Answers, reference
from emo_export.evaluation.rows import SHIPPED, Evaluation
from emo_runtime.bundle.manifest import Audio, Precision, TaskName

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Evaluation rows, with the answers of the checkpoint in PyTorch.

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
        """Compute the answers of the reference."""
        mfcc = None if contract is None else evaluation.mfcc(contract)
        expected = reference(checkpoints, evaluation.texts, mfcc)
        return cls(checkpoints, evaluation, contract, mfcc, expected)

    @property
    def evaluated(self) -> str:
        """Name and number of the rows."""
        return f"{self.evaluation.name} ({len(self.evaluation.rows)} rows)"

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks of the bundle."""
        fusion = self.checkpoints.fusion
        if fusion is None:
            return ("text",)
        return ("text", "fusion", "audio") if fusion.present_input else ("text", "fusion")

    def subsample(self, step: int) -> "Evaluator":
        """Return an evaluator of every ``step``-th row."""
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
        """Return the answers of a complete set of graphs to the rows."""
        return verify(graphs, self.checkpoints, self.evaluation.texts, self.mfcc)

    def compare(self, precision: Precision, found: Answers) -> tuple[Comparison, ...]:
        """Compare answers with the reference's, by task."""
        text, fusion = self.checkpoints.text, self.checkpoints.fusion
        labels = self.evaluation.label_ids(text.labels)
        own = self.evaluation.name != SHIPPED
        result = [
            compare(
                "text",
                precision,
                self.expected.text,
                found.text,
                temperature=text.temperature,
                label_ids=labels,
                own_labels=own,
            )
        ]
        if fusion is not None and self.expected.fusion is not None and found.fusion is not None:
            has_sound = all(row.audio is not None for row in self.evaluation.rows)
            result.append(
                compare(
                    "fusion",
                    precision,
                    self.expected.fusion,
                    found.fusion,
                    temperature=fusion.temperature,
                    label_ids=labels if has_sound else None,
                    own_labels=own,
                )
            )
        return tuple(result)

    def try_out(self, texts: Sequence[str], mfcc: Floats, graphs: Graphs) -> Answers:
        """Return the answers of a complete set of graphs to other rows."""
        return verify(graphs, self.checkpoints, texts, mfcc)
