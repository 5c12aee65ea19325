"""Figures of multi-label classifiers, against scikit-learn and PyTorch."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from emo_models.evaluation.calibration import fit_multi_label_temperature
from emo_models.evaluation.metrics import activate
from emo_models.evaluation.multi_label import (
    calibration_error,
    report_multi_label,
    report_multi_label_logits,
)
from emo_models.training.multi_label import binary_loss, smoothed

LABELS = ("anger", "fear", "joy", "sadness")


def drawn(rows: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and logits that are right more often than not."""
    random = np.random.default_rng(seed)
    targets = random.random((rows, len(LABELS))) < (0.4, 0.05, 0.3, 0.2)
    return targets, random.normal(2 * targets - 1.0, 1.5)


def test_scores_equal_those_of_scikit_learn() -> None:
    targets, logits = drawn()
    found = report_multi_label(targets, activate(logits, multi_label=True), labels=LABELS)
    predicted = logits >= 0
    expected = precision_recall_fscore_support(targets, predicted, zero_division=0)
    for number, label in enumerate(LABELS):
        scores = found["classes"][label]
        assert scores["rows"] == expected[3][number]
        for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
            assert scores[name] == pytest.approx(values[number], abs=1e-4)
    assert found["macro_f1"] == pytest.approx(
        f1_score(targets, predicted, average="macro"), abs=1e-4
    )
    assert found["micro_f1"] == pytest.approx(
        f1_score(targets, predicted, average="micro"), abs=1e-4
    )
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, predicted), abs=1e-4)
    without = [0, 2, 3]
    assert found["macro_f1_without_fear"] == pytest.approx(
        f1_score(targets, predicted, average="macro", labels=without), abs=1e-4
    )
    low, high = found["macro_f1_interval"]
    assert low < found["macro_f1"] < high
    assert found["rows_without_label"] == int((targets.sum(axis=1) == 0).sum())


def test_the_interval_is_that_of_resampled_rows() -> None:
    targets, logits = drawn(120, seed=3)
    found = report_multi_label(targets, activate(logits, multi_label=True), labels=LABELS)
    random = np.random.default_rng(7)
    scores = []
    for _ in range(400):
        rows = random.integers(len(targets), size=len(targets))
        scores.append(f1_score(targets[rows], logits[rows] >= 0, average="macro", zero_division=0))
    assert found["macro_f1_interval"] == pytest.approx(np.percentile(scores, [2.5, 97.5]), abs=0.03)


def test_a_label_that_neither_occurs_nor_is_predicted_does_not_count() -> None:
    targets = np.array([[True, False], [False, False]])
    found = report_multi_label(targets, np.where(targets, 0.9, 0.1), labels=("joy", "pride"))
    assert found["macro_f1"] == 1


def test_calibration_error_of_a_known_case() -> None:
    """Probability 0.8 for ten rows of which six have the label, and a perfect second label."""
    targets = np.zeros((10, 2), np.bool_)
    targets[:6, 0] = True
    probabilities = np.tile([0.8, 0.0], (10, 1))
    assert calibration_error(probabilities, targets) == pytest.approx((0.2 + 0) / 2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_minimizes_the_binary_cross_entropy_of_torch(temperature: float) -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (20_000, 3))
    targets = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    found = fit_multi_label_temperature(logits * temperature, targets)
    assert found == pytest.approx(temperature, rel=0.05)

    def loss(value: float) -> float:
        scaled = torch.tensor(logits * temperature / value)
        return float(
            torch.nn.functional.binary_cross_entropy_with_logits(
                scaled, torch.tensor(targets * 1.0)
            )
        )

    assert loss(found) <= min(loss(found * 1.02), loss(found / 1.02))


def test_calibration_lowers_the_error_that_is_reported() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, (4000, 4))
    targets = random.random(logits.shape) < 1 / (1 + np.exp(-logits))
    found = report_multi_label_logits(
        targets, 3 * logits, fit_multi_label_temperature(3 * logits, targets), labels=LABELS
    )
    assert found["calibration_error"] < 0.03 < found["calibration_error_before"]


def test_weights_balance_rows_with_and_without_a_label() -> None:
    targets = np.array([[True, False], [False, False], [False, False], [False, False]])
    balanced = binary_loss(targets, "balanced").pos_weight
    assert balanced is not None
    assert balanced.tolist() == [3.0, 1.0]
    root = binary_loss(targets, "sqrt").pos_weight
    assert root is not None
    assert root.tolist() == pytest.approx([3**0.5, 1.0])
    assert binary_loss(targets, "none").pos_weight is None


def test_a_label_of_all_rows_is_learnt() -> None:
    targets = np.array([[True, False], [True, True]])
    logits = torch.zeros(2, 2, requires_grad=True)
    binary_loss(targets, "balanced")(logits, torch.from_numpy(targets * 1.0)).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 0] < 0).all()


def test_smoothed_targets_keep_their_side() -> None:
    assert smoothed(np.array([[True, False]]), 0.2).tolist() == [pytest.approx([0.9, 0.1])]
