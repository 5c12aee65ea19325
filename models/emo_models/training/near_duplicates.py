"""Training rows that are nearly the same sentence as a held-out one, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_models.modeling.inference import predict_states, token_ids
from emo_models.modeling.text_classifier import masked_mean

_PREFIX = "query: "  # what E5 encoders are trained with for symmetric similarity
_MAX_TOKENS = 64


def largest_similarities(
    encoder: Any, tokenizer: Any, texts: Sequence[str], others: Sequence[str]
) -> NDArray[np.float32]:
    """Return for each text the largest cosine similarity of its embedding to one of ``others``.

    Args:
        encoder: a text encoder whose mean state is an embedding, such as multilingual-e5-small.
        tokenizer: its tokenizer.
        texts: texts to judge.
        others: at least one text to compare with.
    """
    own, held = (_embeddings(encoder, tokenizer, part) for part in (texts, others))
    similarities: NDArray[np.float32] = (own @ held.T).max(axis=1)
    return similarities


def _embeddings(encoder: Any, tokenizer: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    ids = token_ids(tokenizer, [_PREFIX + text for text in texts], _MAX_TOKENS)
    states = predict_states(encoder, tokenizer, ids, masked_mean)
    norms: NDArray[np.float32] = np.linalg.norm(states, axis=1, keepdims=True)
    return states / norms
