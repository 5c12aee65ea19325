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
    """Return the number of tokens, special tokens included, that a network has positions for.

    Args:
        config: a transformers configuration.
    """
    positions = int(config.max_position_embeddings)
    if config.model_type not in _OFFSET_TYPES:
        return positions
    padding = _MPNET_PADDING if config.model_type == "mpnet" else int(config.pad_token_id)
    return positions - padding - 1
