"""Maximum number of tokens of a text network."""

from __future__ import annotations

from typing import Any

# These count positions from the padding token's id + 1 on, so some rows of the table are unused.
_OFFSET_TYPES = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
_MPNET_PADDING = 1  # fixed in its embeddings, whatever config.json says


def max_tokens(config: Any) -> int:
    """Return the number of tokens, special tokens included, that a network reads.

    It is the number of positions, or ``max_tokens`` in the configuration if that is lower: the
    limit that a classifier was trained with.

    Args:
        config: a transformers configuration.
    """
    positions = int(config.max_position_embeddings)
    if config.model_type in _OFFSET_TYPES:
        padding = _MPNET_PADDING if config.model_type == "mpnet" else int(config.pad_token_id)
        positions -= padding + 1
    return min(positions, int(getattr(config, "max_tokens", positions)))
