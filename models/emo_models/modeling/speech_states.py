"""The speech encoder in two parts: frozen first layers, and last layers that are fine-tuned."""

from __future__ import annotations

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
