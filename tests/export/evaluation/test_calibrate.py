"""Temperatures against scipy, calibration errors against a closed form, leaks refused."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from emo_export.evaluation.rows import Evaluation, refuse_leak
from emo_models.data.corpora import Row
from emo_models.evaluation.calibration import fit_temperature
from emo_models.evaluation.metrics import calibration_error, softmax
from emo_runtime.errors import EmoError


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_temperature_is_the_one_scipy_finds(true: float) -> None:
    random = np.random.default_rng(7)
    logits = (3 * random.standard_normal((4000, 6))).astype(np.float32)
    chances = softmax(logits, true)
    labels = (chances.cumsum(axis=1) > random.random((4000, 1))).argmax(axis=1)

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(4000), labels].mean()

    expected = minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-3)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.1)


def test_calibration_error_of_known_answers() -> None:
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.3, 0.7]] * 10)
    labels = np.array([0] * 6 + [1] * 4 + [1] * 7 + [0] * 3)
    # Half the rows say 0.9 and are right 6 times in 10, the others 0.7 and 7 times in 10.
    assert calibration_error(probabilities, labels) == pytest.approx(0.15)


def test_rows_in_both_sets_are_refused() -> None:
    def rows(name: str, *texts: str) -> Evaluation:
        return Evaluation(name, tuple(Row("", "", text, None, "", "") for text in texts))

    evaluate, calibrate = rows("test.csv", "Hola.", "Adiós."), rows("dev.csv", " Adiós. ")
    with pytest.raises(EmoError, match=r"1 rows of dev.csv .* test.csv .*'Adiós.'"):
        refuse_leak(evaluate, calibrate)
    refuse_leak(evaluate, rows("dev.csv", "Buenas."))
