"""Networks to fine-tune: a pretrained encoder with a fresh classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from emo_models.errors import CheckpointError
from emo_models.labels import LABELS
from emo_models.modeling.load import (
    HEADS,
    MULTI_LABEL,
    classifier_class,
    model_config,
    quiet,
    read_weights,
    refuse_lost_weights,
)
from emo_models.modeling.source import checkpoint_directory
from emo_models.modeling.tokenizer import read_tokenizer

# Keys that this project adds to config.json; they do not belong to the encoder.
_OWN_SETTINGS = (
    "ngram_buckets", "temperature", "strip_text", "decisions", "problem_type", "max_tokens",
)  # fmt: skip
_DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout",
    "embedding_dropout", "mlp_dropout",
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Configuration of a newly initialized classifier.

    Attributes:
        labels: labels in class order.
        pooling: ``cls`` or ``mean``.
        dropout: dropout rate of the whole network.
        multi_label: independent labels (sigmoid) instead of one (softmax).
    """

    labels: Sequence[str] = LABELS
    pooling: str = "cls"
    dropout: float = 0.1
    multi_label: bool = False


def new_classifier(
    source: str, head: Head, *, random_weights: bool = False, seed: int = 0
) -> tuple[Any, Any]:
    """Return a classifier with the encoder of ``source`` and a new head, and its tokenizer.

    Args:
        source: a directory or a Hub id. Any head in it is ignored.
        head: configuration of the new head.
        random_weights: read only the configuration and the tokenizer, no weights.
        seed: seed of the new weights.

    Raises:
        CheckpointError: not a text network, or its encoder is incomplete.
    """
    directory = checkpoint_directory(source)
    config = _with_head(model_config(directory), head)
    network = classifier_class(config, head.pooling)
    with quiet():
        tokenizer = read_tokenizer(directory, config)
    torch.manual_seed(seed)
    if random_weights:
        return network(config), tokenizer
    model, info = read_weights(network, directory, config)
    refuse_lost_weights(directory, info, model, fresh=HEADS, unused_parts=HEADS)
    _renew_head(model, seed)
    return model, tokenizer


def _with_head(config: Any, head: Head) -> Any:
    for name in _OWN_SETTINGS:
        if hasattr(config, name):
            delattr(config, name)
    for name in _DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, head.dropout)
    if len(set(head.labels)) < 2:
        raise CheckpointError("a classifier needs two or more different labels.")
    config.id2label = dict(enumerate(head.labels))
    config.label2id = {label: index for index, label in enumerate(head.labels)}
    config.pooling = head.pooling
    if head.multi_label:
        config.problem_type = MULTI_LABEL
    return config


def _renew_head(model: Any, seed: int) -> None:
    """Initialize everything except the encoder at random, so that no other task's head remains."""
    torch.manual_seed(seed)
    for name, part in model.named_children():
        if name != model.base_model_prefix:
            part.apply(model._init_weights)
