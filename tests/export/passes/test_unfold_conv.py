"""Convolutions of a small kernel as matrix products."""

import numpy as np
import pytest
import torch
from torch import nn

from emo_export.passes.unfold_conv import unfold_convolutions
from helpers.exported import exported, kinds, run


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (2, 2, 0), (8, 3, 4)]
)
def test_it_computes_the_convolution(kernel: int, stride: int, padding: int, bias: bool) -> None:
    torch.manual_seed(0)
    module = nn.Conv1d(20, 6, kernel, stride=stride, padding=padding, bias=bias)
    model = exported(module, torch.randn(2, 20, 40), {2: "time"})
    assert unfold_convolutions(model) == 1
    assert "Conv" not in kinds(model)
    for length in (kernel, 11, 12, 13, 40):
        x = torch.randn(2, 20, length)
        with torch.no_grad():
            expected = module(x).numpy()
        found = run(model, x.numpy())
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5


def test_grouped_dilated_and_wide_convolutions_stay() -> None:
    for conv in (
        nn.Conv1d(32, 32, 3, groups=2),
        nn.Conv1d(32, 32, 3, dilation=2),
        nn.Conv1d(32, 32, 31),
        nn.Conv1d(1, 32, 3),
    ):
        model = exported(conv, torch.randn(1, conv.in_channels, 99), {2: "time"})
        assert unfold_convolutions(model) == 0
