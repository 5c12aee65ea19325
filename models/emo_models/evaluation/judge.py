"""One interface to the targets and reports of single-label and multi-label classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from emo_models.data.corpora import Row
from emo_models.data.datasets import targets_of
from emo_models.data.multi_label import label_matrix
from emo_models.evaluation.calibration import fit_multi_label_temperature, fit_temperature
from emo_models.evaluation.metrics import Floats
from emo_models.evaluation.multi_label import report_multi_label, report_multi_label_logits
from emo_models.evaluation.report import report, report_logits

Targets = NDArray[Any]


@dataclass(frozen=True)
class Judge:
    """Compares the logits of a classifier with the labels of rows.

    Attributes:
        labels: labels in class order.
        multi_label: rows have any number of labels; targets are bool [rows, labels] instead of
            class numbers [rows].
    """

    labels: tuple[str, ...]
    multi_label: bool = False

    def targets(self, rows: Sequence[Row]) -> Targets:
        """Return the targets of rows. Raises DataError for an unknown label."""
        return (label_matrix if self.multi_label else targets_of)(rows, self.labels)

    def temperature(self, logits: NDArray[Any], targets: Targets) -> float:
        """Return the temperature with the lowest loss on the rows."""
        return (fit_multi_label_temperature if self.multi_label else fit_temperature)(
            logits, targets
        )

    def of_logits(
        self, targets: Targets, logits: NDArray[Any], temperature: float = 1.0
    ) -> dict[str, Any]:
        """Return the report on logits [rows, labels]."""
        made = report_multi_label_logits if self.multi_label else report_logits
        return made(targets, logits, temperature, labels=self.labels)

    def of_probabilities(self, targets: Targets, probabilities: Floats) -> dict[str, Any]:
        """Return the report on probabilities [rows, labels]."""
        if self.multi_label:
            return report_multi_label(targets, probabilities, labels=self.labels)
        predicted = probabilities.argmax(axis=1)
        return report(targets, predicted, probabilities, labels=self.labels)
