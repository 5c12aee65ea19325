"""Constant factors in the weights of the product before them."""

import numpy as np
import torch
from torch import nn

from emo_export.passes.fold_scale import fold_scales
from helpers.exported import exported, kinds, run


class Scaled(nn.Module):
    """Half of a linear layer, divided by a constant."""

    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.linear(x) / 3.0


def test_factors_move_into_weight_and_bias() -> None:
    torch.manual_seed(0)
    for bias in (True, False):
        module = Scaled(bias)
        model = exported(module, torch.randn(2, 5, 4), {1: "time"})
        # The last factor makes the output of the graph, whose name must stay.
        assert fold_scales(model) == 1
        x = torch.randn(2, 7, 4)
        with torch.no_grad():
            expected = module(x).numpy()
        assert np.abs(run(model, x.numpy()) - expected).max() < 1e-5


def test_a_product_that_something_else_reads_stays() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(x)
            return (0.5 * y).tanh() + y

    model = exported(Both(), torch.randn(2, 5, 4), {1: "time"})
    before = kinds(model)
    assert fold_scales(model) == 0
    assert kinds(model) == before
