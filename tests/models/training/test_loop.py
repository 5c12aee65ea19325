"""Class weights and averages of weights, which every training loop uses."""

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight

from emo_models.training.loop import averaged, class_weights


def test_class_weights_are_scikit_learns() -> None:
    targets = [0] * 50 + [1] * 10 + [2] * 5
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(targets))
    balanced = class_weights(targets, 3, "balanced")
    assert balanced is not None
    np.testing.assert_allclose(balanced.numpy(), expected, rtol=1e-6, atol=1e-7)
    root = class_weights(targets, 4, "sqrt")
    assert root is not None
    assert root[3] == 0
    assert class_weights(targets, 3, "none") is None


def test_a_soup_is_the_mean_of_the_weights() -> None:
    networks = [torch.nn.BatchNorm1d(3) for _ in range(2)]
    for value, network in enumerate(networks):
        network.weight.data.fill_(value)
        network.num_batches_tracked.fill_(7 + value)
    soup = averaged([network.state_dict() for network in networks])
    assert soup["weight"].tolist() == [0.5] * 3
    assert int(soup["num_batches_tracked"]) == 7
    networks[0].load_state_dict(soup)
