"""A fast CPU forward pass of transformers' ``BertModel`` for fine-tuning in bfloat16.

PyTorch's flash attention has a slow bfloat16 backward pass on CPUs. Plain batched matrix products,
one product for query, key and value, and no dropout inside the encoder make a step two to three
times faster. The parameters stay those of the ``BertModel``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from emo_models.errors import CheckpointError

_MASKED = -1e4  # a bias that is finite in bfloat16 and makes the softmax 0


def check_supported(config: Any) -> None:
    """Refuse an encoder that ``encode`` does not compute.

    Raises:
        CheckpointError: not a BERT with absolute positions and GELU.
    """
    positions = getattr(config, "position_embedding_type", "absolute")
    if (config.model_type, positions, config.hidden_act) != ("bert", "absolute", "gelu"):
        raise CheckpointError(
            f"a {config.model_type} encoder with {positions} positions and {config.hidden_act}: "
            "text-mixture trains BERT encoders with absolute positions and gelu. Use emo-train "
            "text for other architectures."
        )


def encode(bert: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the last hidden states, as ``bert(input_ids=ids, attention_mask=mask)[0]``.

    Args:
        bert: a ``BertModel`` that ``check_supported`` accepts; its dropout is not applied.
        ids: int64 [batch, tokens].
        mask: 1 for tokens and 0 for padding, [batch, tokens].

    Returns:
        float [batch, tokens, hidden]; the states of padding have no meaning.
    """
    tables, length = bert.embeddings, ids.shape[1]
    states: Tensor = tables.LayerNorm(
        tables.word_embeddings(ids)
        + tables.position_embeddings.weight[:length]
        + tables.token_type_embeddings.weight[0]
    )
    bias = None if bool(mask.all()) else ((1 - mask) * _MASKED)[:, None, None, :]
    for layer in bert.encoder.layer:
        states = _layer(layer, states, bias, bert.config.num_attention_heads)
    return states


def _layer(layer: Any, states: Tensor, bias: Tensor | None, heads: int) -> Tensor:
    batch, length, width = states.shape
    size = width // heads
    own = layer.attention.self
    parts = (own.query, own.key, own.value)
    weight = torch.cat([part.weight for part in parts])
    offset = torch.cat([part.bias for part in parts])
    joint = functional.linear(states, weight, offset).view(batch, length, 3, heads, size)
    query, key, value = joint.permute(2, 0, 3, 1, 4)
    scores = torch.matmul(query * size**-0.5, key.transpose(-1, -2))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    mixed = torch.matmul(scores.softmax(-1), value).transpose(1, 2).reshape(batch, length, width)
    out = layer.attention.output
    states = out.LayerNorm(out.dense(mixed) + states)
    inner = functional.gelu(layer.intermediate.dense(states))
    result: Tensor = layer.output.LayerNorm(layer.output.dense(inner) + states)
    return result
