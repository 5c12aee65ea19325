"""Initial weights that shorten masked-language pretraining on a small budget.

With random weights the loss of a small BERT stays at the unigram entropy for millions of tokens,
until its heads attend to adjacent tokens. This initialization avoids that plateau:

- word vectors come from co-occurrence counts,
- position vectors are sinusoids,
- each head of the first layers attends to one adjacent position,
- the output bias is the log frequency of the tokens.

All of these weights are trained as usual.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from transformers import BertForMaskedLM

Floats = NDArray[np.float32]

WINDOW = 4
# These frequencies separate neighbours: cos over (i + 1/2) pi / 32 sums to 0 except at distance 0.
SHARP = 32
OFFSETS = ((-1, 1, -2, 2), (-1, 1, -3, 3))
_EMBEDDING_STD = 0.04
_HEAD_GAIN = 1.2


@torch.no_grad()
def head_start(model: BertForMaskedLM, ids: NDArray[np.uint16], seed: int) -> None:
    """Set word vectors, positions, the output bias and the first layers' heads, in place.

    Args:
        model: an untrained network. Neighbour heads are set only if heads have 64 features.
        ids: token ids of the corpus.
        seed: seed of the randomized decomposition.
    """
    config = model.config
    words = word_vectors(ids, config.vocab_size, config.hidden_size, seed)
    positions = sinusoids(config.max_position_embeddings, config.hidden_size)
    embeddings = model.bert.embeddings
    embeddings.word_embeddings.weight.copy_(torch.from_numpy(words * _EMBEDDING_STD))
    embeddings.position_embeddings.weight.copy_(
        torch.from_numpy(positions * np.float32(_EMBEDDING_STD * np.sqrt(2)))
    )
    counts = np.bincount(ids, minlength=config.vocab_size) + 1.0
    model.cls.predictions.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))
    if config.hidden_size // config.num_attention_heads != 2 * SHARP:
        return
    layers: Any = model.bert.encoder.layer
    for layer, offsets in zip(layers, OFFSETS, strict=False):
        attention = layer.attention.self
        for head, offset in zip(range(config.num_attention_heads), offsets, strict=False):
            rows = slice(head * 2 * SHARP, (head + 1) * 2 * SHARP)
            attention.query.weight[rows, : 2 * SHARP] += _HEAD_GAIN * _rotation(offset)
            attention.key.weight[rows, : 2 * SHARP] += _HEAD_GAIN * torch.eye(2 * SHARP)


def word_vectors(ids: NDArray[np.uint16], vocab_size: int, width: int, seed: int) -> Floats:
    """Return word vectors of unit variance, float32 [vocab_size, width].

    Truncated SVD of the positive pointwise mutual information of words at most 4 apart, with
    singular values to the power 1/2 (Levy, Goldberg and Dagan 2015).
    """
    counts = np.zeros(vocab_size * vocab_size, dtype=np.float32)
    for distance in range(1, WINDOW + 1):
        key = ids[:-distance].astype(np.int64) * vocab_size + ids[distance:]
        counts += np.bincount(key, minlength=vocab_size * vocab_size).astype(np.float32)
        del key
    table = counts.reshape(vocab_size, vocab_size)
    table = table + table.T
    # Context counts to the power 3/4 damp rare words (same source).
    context = table.sum(axis=0) ** 0.75
    expected = np.outer(table.sum(axis=1), context / context.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.log(table / expected)
    information[~np.isfinite(information)] = 0
    np.maximum(information, 0, out=information)
    left, values, _ = randomized_svd(information, width, n_iter=2, random_state=seed)
    vectors = left * np.sqrt(values)
    # A random rotation spreads the first, large directions over all features.
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]
    vectors = vectors @ rotation[: vectors.shape[1]]
    vectors -= vectors.mean(axis=0)
    norm = np.sqrt((vectors**2).mean(axis=1, keepdims=True))
    # Words without a context (special tokens) stay at zero.
    return np.asarray(vectors / np.maximum(norm, norm.mean() / 4), dtype=np.float32)


def sinusoids(positions: int, width: int) -> Floats:
    """Return position vectors [positions, width]: sinusoids of linear and geometric frequencies."""
    slow = width // 2 - SHARP
    frequencies = np.concatenate(
        [(np.arange(SHARP) + 0.5) * np.pi / SHARP, 10_000.0 ** (-np.arange(slow) / max(1, slow))]
    )
    angles = np.arange(positions)[:, None] * frequencies
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=2)
    return pairs.reshape(positions, -1).astype(np.float32)


def _rotation(offset: int) -> torch.Tensor:
    """Return the matrix [64, 64] that maps the linear part of position p to position p + offset."""
    matrix = np.zeros((2 * SHARP, 2 * SHARP), dtype=np.float32)
    for index in range(SHARP):
        angle = (index + 0.5) * np.pi / SHARP * offset
        block = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        matrix[2 * index : 2 * index + 2, 2 * index : 2 * index + 2] = block
    return torch.from_numpy(matrix)
