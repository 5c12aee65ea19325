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
    positions = int(config.max_position_embeddings) - first_position(config)
    return min(positions, int(getattr(config, "max_tokens", positions)))


def first_position(config: Any) -> int:
    """Return the position id of the first token.

    Args:
        config: a transformers configuration.
    """
    if config.model_type not in _OFFSET_TYPES:
        return 0
    padding = _MPNET_PADDING if config.model_type == "mpnet" else int(config.pad_token_id)
    return padding + 1
