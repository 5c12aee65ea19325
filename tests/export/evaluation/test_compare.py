"""The measures that compare a graph with its checkpoint."""

import numpy as np
import pytest

from emo_export.evaluation.compare import compare


def test_comparison_of_known_logits() -> None:
    reference = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], np.float32))
    found = np.log(np.array([[0.7, 0.3], [0.55, 0.45], [0.3, 0.7]], np.float32))
    labels = np.array([0, 1, 1])
    result = compare("text", "int8", reference, found, temperature=1.0, targets=labels)
    assert result.agreement == pytest.approx(2 / 3)
    assert result.largest_probability_difference == pytest.approx(0.15, abs=1e-6)
    assert result.reference_macro_f1 == 1
    assert result.macro_f1 == pytest.approx(2 / 3)
    assert result.mean_probability_difference == pytest.approx(0.25 / 3, abs=1e-6)
    assert (result.labels, result.largest_share) == (2, pytest.approx(2 / 3))
