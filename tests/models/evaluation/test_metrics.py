import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from emo_models.evaluation.metrics import (
    bootstrap_macro_f1,
    calibration_error,
    class_scores,
    confusion,
    macro_f1,
    paired_bootstrap,
    softmax,
)

CLASSES = 6
pairs = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60
)


@given(pairs)
def test_scores_equal_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    targets, predicted = np.array(rows).T
    matrix = confusion(targets, predicted, CLASSES)
    every = list(range(CLASSES))
    assert (matrix == confusion_matrix(targets, predicted, labels=every)).all()
    expected = precision_recall_fscore_support(targets, predicted, labels=every, zero_division=0.0)
    for ours, theirs in zip(class_scores(matrix), expected, strict=False):
        np.testing.assert_allclose(ours, theirs)
    np.testing.assert_allclose(
        macro_f1(targets, predicted, CLASSES), f1_score(targets, predicted, average="macro")
    )


@given(pairs)
def test_a_class_left_out_of_the_mean_still_counts_as_a_mistake(
    rows: list[tuple[int, int]],
) -> None:
    targets, predicted = np.array(rows).T
    kept = sorted((set(targets) | set(predicted)) - {2})
    if kept:
        expected = f1_score(targets, predicted, labels=kept, average="macro", zero_division=0.0)
        assert macro_f1(targets, predicted, CLASSES, without=(2,)) == pytest.approx(expected)


def test_calibration_error_of_a_known_case() -> None:
    # Ten rows at confidence 0.85, seven right: one bin, a gap of 0.15.
    probabilities = np.tile([0.85, 0.15], (10, 1))
    targets = np.array([0] * 7 + [1] * 3)
    assert calibration_error(probabilities, targets) == pytest.approx(0.15)


def test_certain_and_right_is_calibrated() -> None:
    assert calibration_error(np.eye(4), np.arange(4)) == 0


def test_softmax_at_a_temperature_survives_large_logits() -> None:
    logits = np.array([[1000.0, 1000.0 + np.log(3)]])
    np.testing.assert_allclose(softmax(logits), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(logits, 0.5), [[0.1, 0.9]])


def test_bootstrap_interval_holds_the_figure_and_shrinks_with_rows() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=2000)
    predicted = np.where(rng.random(2000) < 0.7, targets, rng.integers(CLASSES, size=2000))
    widths = []
    for rows in (200, 2000):
        low, high = bootstrap_macro_f1(targets[:rows], predicted[:rows], CLASSES)
        assert low < macro_f1(targets[:rows], predicted[:rows], CLASSES) < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / np.sqrt(10), rel=0.3)


def test_paired_bootstrap_distinguishes_better_from_equal() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(CLASSES, size=500)
    good = np.where(rng.random(500) < 0.8, targets, 0)
    bad = np.where(rng.random(500) < 0.5, targets, 0)
    better = paired_bootstrap(targets, good, bad, CLASSES)
    assert better["low"] > 0
    assert better["p"] == 0
    same = paired_bootstrap(targets, good, good, CLASSES)
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
