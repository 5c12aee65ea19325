"""Softmax and sigmoid, by what defines them: they undo logarithms of ratios."""

import numpy as np
import pytest

from emo_runtime.probabilities import sigmoid, softmax


def test_softmax_of_logarithms_returns_the_probabilities():
    probabilities = np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    # Any constant may be added to the logits of a row.
    logits = np.log(probabilities) + np.array([[5.0], [-1000.0]])
    np.testing.assert_allclose(softmax(logits), probabilities, rtol=1e-12, atol=0)


def test_softmax_has_no_overflow_and_computes_in_float64():
    found = softmax(np.array([1e4, 1e4, -1e4], np.float32))
    assert found.dtype == np.float64
    assert found.tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("probability", [1e-12, 0.25, 0.5, 0.9])
def test_sigmoid_of_log_odds_returns_the_probability(probability):
    odds = np.array([np.log(probability / (1 - probability))])
    np.testing.assert_allclose(sigmoid(odds), [probability], rtol=1e-10, atol=0)
    np.testing.assert_allclose(sigmoid(-odds), [1 - probability], rtol=1e-10, atol=0)


def test_sigmoid_has_no_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e4, 0.0, 1e4], np.float32)).tolist() == [0.0, 0.5, 1.0]
