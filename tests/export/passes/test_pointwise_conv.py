"""Convolutions of kernel 1 as matrix products."""

import numpy as np
import torch
from torch import nn

from emo_export.passes.pointwise_conv import multiply_pointwise
from helpers.exported import exported, kinds, run


def test_a_pointwise_convolution_becomes_a_product() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(5, 7, 1), nn.Conv1d(7, 3, 1, bias=False))
    x = torch.randn(2, 5, 9)
    model = exported(module, x, {2: "time"})
    assert multiply_pointwise(model) == 2
    assert "Conv" not in kinds(model)
    for length in (1, 9, 30):
        x = torch.randn(2, 5, length)
        with torch.no_grad():
            expected = module(x).numpy()
        assert np.abs(run(model, x.numpy()) - expected).max() < 1e-5


def test_other_convolutions_stay() -> None:
    for conv in (
        nn.Conv1d(4, 4, 3),
        nn.Conv1d(4, 4, 1, groups=2),
        nn.Conv1d(4, 4, 1, stride=2),
        nn.Conv1d(4, 4, 1, padding=1),
    ):
        assert multiply_pointwise(exported(conv, torch.randn(1, 4, 9), {2: "time"})) == 0
