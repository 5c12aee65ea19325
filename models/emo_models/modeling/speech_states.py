"""The speech encoder in two parts: frozen first layers, and last layers that are fine-tuned.

A network that is trained from scratch has no frozen part: its convolutions read padded features.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from emo_models.modeling.speech import ATTENTION_FLOOR, SpeechEncoder

_PADDING_BIAS = -1e4


def first_states(encoder: SpeechEncoder, features: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """Return the states after the first layers [batch, time, width] and the gate [batch, time]."""
    gate = encoder.speech_gate(features)[:, ::2]
    states = functional.gelu(encoder.conv1(features))
    states = functional.gelu(encoder.conv2(states)).transpose(1, 2)
    states = states + encoder.embed_positions.weight[: states.shape[1]]
    bias = torch.log(gate + ATTENTION_FLOOR)[:, None, None, :]
    for layer in list(encoder.layers)[:layers]:
        states = layer(states, bias)
    return states, gate


class Convolutions(nn.Module):
    """The convolutions before the first layer, for batches of features of several lengths."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        super().__init__()
        self.conv1 = copy.deepcopy(encoder.conv1)
        self.conv2 = copy.deepcopy(encoder.conv2)
        self.embed_positions = copy.deepcopy(encoder.embed_positions)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return states [batch, (frames + 1) // 2, width].

        Args:
            features: [batch, n_mels, frames], 0 beyond the length of each row.
            lengths: Frames of each row.
        """
        inside = torch.arange(features.shape[2]) < lengths[:, None]
        states = functional.gelu(self.conv1(features)) * inside.unsqueeze(1)
        states = functional.gelu(self.conv2(states)).transpose(1, 2)
        with_positions: Tensor = states + self.embed_positions.weight[: states.shape[1]]
        return with_positions


def last_embedding(
    layers: Iterable[nn.Module],
    states: Tensor,
    gate: Tensor,
    padding: Tensor,
    *,
    first: int,
    pooled_layers: tuple[int, ...],
) -> Tensor:
    """Return the embedding [batch, embedding_width] from the states after layer ``first``.

    Args:
        layers: The layers after ``first``.
        states: [batch, time, width].
        gate: [batch, time]; 0 for padding.
        padding: True for padding, [batch, time].
        first: Number of the last layer that is in ``states``; none below it is pooled.
        pooled_layers: Layers, counted from 1, whose means make the embedding.
    """
    bias = torch.log(gate + ATTENTION_FLOOR).masked_fill(padding, _PADDING_BIAS)[:, None, None, :]
    share = (gate / gate.sum(1, keepdim=True)).unsqueeze(1)
    pooled = [(share @ states).squeeze(1)] if first in pooled_layers else []
    for number, layer in enumerate(layers, first + 1):
        states = layer(states, bias)
        if number in pooled_layers:
            pooled.append((share @ states.float()).squeeze(1))
    return torch.cat(pooled, 1)
