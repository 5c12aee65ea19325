"""SiLU as one operator."""

import numpy as np
import torch
from torch import nn

from emo_export.passes.silu import fuse_silu
from helpers.exported import exported, kinds, run


def test_silu_becomes_one_operator() -> None:
    model = exported(nn.SiLU(), torch.randn(2, 5), {0: "batch"})
    assert fuse_silu(model) == 1
    x = 6 * torch.randn(3, 5)
    found = run(model, x.numpy())
    assert np.abs(found - nn.functional.silu(x).numpy()).max() < 1e-5
    assert "QuickGelu" in kinds(model)


def test_a_product_with_another_gate_stays() -> None:
    class Glu(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second = x.chunk(2, -1)
            return first * second.sigmoid()

    assert fuse_silu(exported(Glu(), torch.randn(2, 6), {0: "batch"})) == 0
