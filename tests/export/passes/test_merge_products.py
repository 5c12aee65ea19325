"""Products of the same tensor as one."""

import numpy as np
import torch
from torch import nn

from emo_export.passes.merge_products import merge_products
from helpers.exported import exported, kinds, run


class Projections(nn.Module):
    """Projections of one tensor, of different widths."""

    def __init__(self, *bias: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(6, 4 + i, bias=b) for i, b in enumerate(bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([part(x).tanh() for part in self.parts], -1)


def test_projections_of_one_tensor_become_one_product() -> None:
    torch.manual_seed(0)
    for bias in ((True, True, True), (False, False), (True, False, True)):
        module = Projections(*bias)
        model = exported(module, torch.randn(2, 5, 6), {1: "time"})
        assert merge_products(model) == 1
        assert kinds(model).count("MatMul") == 1 + (set(bias) == {True, False})
        x = torch.randn(2, 8, 6)
        with torch.no_grad():
            expected = module(x).numpy()
        assert np.abs(run(model, x.numpy()) - expected).max() < 1e-5
