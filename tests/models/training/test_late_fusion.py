from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from emo_models.data.corpora import Row
from emo_models.data.fusion_data import Features
from emo_models.data.pairs import own_pairs
from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork
from emo_models.training.late_fusion import audio_weight_loss, fit_audio_weight

LABELS = ("a", "b", "c")


def test_the_fitted_weight_has_the_lowest_cross_entropy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    audio, text = (
        (scale * np.eye(3)[labels] + rng.normal(size=(400, 3))).astype(np.float32)
        for scale in (0.7, 1.5)
    )
    rows = [Row(str(i), LABELS[k], "x", Path("x"), "", f"row {i}") for i, k in enumerate(labels)]
    pairs = own_pairs(labels.tolist())
    features = Features(audio, text, rows, rows, LABELS, lambda _: pairs, speech=True)
    network = LateFusionNetwork(LateFusionConfig(3, 3, LABELS))
    with torch.no_grad():
        for head in (network.audio_head, network.text_head):
            head.weight.copy_(torch.eye(3) * 1.3)
            head.bias.zero_()
    network.temperature.copy_(torch.tensor([1.5, 0.8]))

    def loss(weight: float) -> float:
        joint = weight * log_softmax(1.3 * audio / 1.5, 1) + log_softmax(1.3 * text / 0.8, 1)
        return float(-log_softmax(joint, 1)[np.arange(400), labels].mean())

    assert audio_weight_loss(network, features, pairs, 0.6) == pytest.approx(loss(0.6), rel=1e-4)
    assert network.weight.tolist() == [1.0, 1.0]  # unchanged
    found = fit_audio_weight(network, features, pairs)
    best = minimize_scalar(loss, bounds=(0, 2), method="bounded")
    assert 0.1 < best.x < 1.9
    assert float(network.weight[0]) == pytest.approx(best.x, abs=0.025)
    assert found == pytest.approx(best.fun, rel=1e-3)
