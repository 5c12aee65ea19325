"""Batched inference: token ids, padding, logits and pooled states of text networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PREDICT_ROWS = 64


def token_ids(tokenizer: Any, texts: Sequence[str], limit: int) -> list[list[int]]:
    """Return token ids of each text with [CLS] and [SEP], truncated to ``limit``.

    The text is not preprocessed (paper section 4.1).
    """
    encoded = tokenizer(list(texts), truncation=True, max_length=limit)["input_ids"]
    return [list(row) for row in encoded]


def predict_logits(model: Any, tokenizer: Any, ids: Sequence[list[int]]) -> NDArray[np.float32]:
    """Return logits [rows, classes] of token ids, in evaluation mode, batched by length."""
    return _in_batches(
        ids, tokenizer, model, lambda ids, mask: model(input_ids=ids, attention_mask=mask).logits
    )


def predict_states(
    encoder: Any,
    tokenizer: Any,
    ids: Sequence[list[int]],
    pool: Callable[[Tensor, Tensor], Tensor],
) -> NDArray[np.float32]:
    """Return pooled last hidden states [rows, hidden] of token ids, in evaluation mode."""
    return _in_batches(
        ids,
        tokenizer,
        encoder,
        lambda ids, mask: pool(encoder(input_ids=ids, attention_mask=mask)[0], mask),
    )


def padded(rows: Sequence[Sequence[int]], pad: int, where: torch.device) -> tuple[Tensor, Tensor]:
    """Return padded ids and their attention mask, int64 [rows, longest]."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad, dtype=torch.int64)
    mask = torch.zeros((len(rows), length), dtype=torch.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids.to(where), mask.to(where)


@torch.no_grad()
def _in_batches(
    ids: Sequence[list[int]],
    tokenizer: Any,
    network: Any,
    compute: Callable[[Tensor, Tensor], Tensor],
) -> NDArray[np.float32]:
    network.eval()
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    where = next(network.parameters()).device
    parts = []
    for start in range(0, len(order), _PREDICT_ROWS):
        batch = [ids[i] for i in order[start : start + _PREDICT_ROWS]]
        parts.append(compute(*padded(batch, tokenizer.pad_token_id, where)).float().cpu())
    result = np.empty((len(ids), parts[0].shape[1]), dtype=np.float32)
    result[order] = torch.cat(parts).numpy()
    return result


def device() -> torch.device:
    """Return the GPU if available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
