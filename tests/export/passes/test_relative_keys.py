"""Relative-key attention, and the whole chain of rewrites on small speech encoders."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from emo_export.onnx_graph import prune
from emo_export.passes.identities import inline_identities
from emo_export.passes.optimize import optimize_speech
from emo_export.passes.relative_keys import gather_relative_scores
from helpers.exported import exported, kinds, run


class Encoder(nn.Module):
    """Mean states of a small Wav2Vec2-BERT."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = Wav2Vec2BertConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            feature_projection_input_dim=20,
            left_max_position_embeddings=5,
            right_max_position_embeddings=3,
            conv_depthwise_kernel_size=5,
        )
        self.model = Wav2Vec2BertModel(config)
        for parameter in self.model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.model(x).last_hidden_state
        return states.mean(1)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder().eval()


def expected(encoder: Encoder, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return encoder(x).numpy()


def test_scores_are_gathered_instead_of_vectors(encoder: Encoder) -> None:
    model = exported(encoder, torch.randn(1, 30, 20), {1: "time"})
    inline_identities(model)
    assert gather_relative_scores(model) == 2
    prune(model)
    assert "Einsum" not in kinds(model)
    assert kinds(model).count("GatherElements") == 2
    for length in (1, 2, 9, 60):
        x = torch.randn(1, length, 20)
        assert np.abs(run(model, x.numpy()) - expected(encoder, x)).max() < 1e-5


def test_all_rewrites_of_a_conformer(encoder: Encoder) -> None:
    model = optimize_speech(exported(encoder, torch.randn(1, 30, 20), {1: "time"}))
    found = kinds(model)
    assert "Einsum" not in found
    assert found.count("Conv") == 2  # the depthwise ones
    for length in (1, 9, 60):
        x = torch.randn(1, length, 20)
        assert np.abs(run(model, x.numpy()) - expected(encoder, x)).max() < 1e-5
