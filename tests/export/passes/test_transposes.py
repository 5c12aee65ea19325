"""Transpositions that meet and cancel."""

import numpy as np
import torch
from torch import nn

from emo_export.passes.transposes import cancel_transposes
from helpers.exported import exported, kinds, run


class Module(nn.Module):
    """A gated unit over channels between two transpositions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gated = nn.functional.glu(x.transpose(1, 2), self.dim).relu()
        return gated.transpose(1, 2) * 2.0


def test_the_transpositions_around_a_gated_unit_cancel() -> None:
    module = Module(1)
    model = exported(module, torch.randn(2, 5, 6), {1: "time"})
    assert kinds(model).count("Transpose") == 2
    assert cancel_transposes(model) > 0
    assert "Transpose" not in kinds(model)
    x = torch.randn(2, 9, 6)
    assert np.abs(run(model, x.numpy()) - module(x).numpy()).max() < 1e-6


def test_a_transposition_that_is_needed_stays() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.transpose(1, 2).softmax(-1).sum(1)

    model = exported(Mean(), torch.randn(2, 5, 6), {1: "time"})
    cancel_transposes(model)
    x = torch.randn(2, 7, 6)
    assert np.abs(run(model, x.numpy()) - Mean()(x).numpy()).max() < 1e-6
    assert "Transpose" in kinds(model)
