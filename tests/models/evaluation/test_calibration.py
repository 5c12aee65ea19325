import numpy as np
import pytest
import torch

from emo_models.evaluation.calibration import fit_temperature, fit_temperature_of_sets, log_loss
from emo_models.evaluation.metrics import calibration_error, softmax


def sampled(temperature: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``temperature`` times too sure of classes drawn from their own softmax."""
    rng = np.random.default_rng(0)
    honest = rng.normal(size=(rows, 6)) * 2
    targets = (honest + rng.gumbel(size=honest.shape)).argmax(axis=1)
    return honest * temperature, targets


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_known_temperature_is_recovered(temperature: float) -> None:
    logits, targets = sampled(temperature)
    found = fit_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.03)
    assert calibration_error(softmax(logits, found), targets) < 0.02


def test_it_minimizes_the_cross_entropy_of_torch() -> None:
    logits, targets = sampled(1.7, rows=500)
    found = fit_temperature(logits, targets)
    loss = [
        float(torch.nn.functional.cross_entropy(torch.tensor(logits) / t, torch.tensor(targets)))
        for t in (found * 0.99, found, found * 1.01)
    ]
    assert loss[1] == min(loss)
    assert loss[1] == pytest.approx(log_loss(logits, targets, found))


def test_sets_of_other_sizes_count_equally() -> None:
    large, small = sampled(0.5, rows=900), sampled(2.0, rows=300)
    repeated = [np.concatenate([part] * 3) for part in small]
    rows = [np.concatenate(pair) for pair in zip(large, repeated, strict=True)]
    assert fit_temperature_of_sets([large, small]) == pytest.approx(fit_temperature(*rows))
    assert fit_temperature_of_sets([large]) == pytest.approx(fit_temperature(*large))
