"""Where a run's text network comes from: a directory, the Hub, or nothing but a shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertConfig, BertTokenizerFast

from emo_models.errors import CheckpointError
from emo_models.labels import LABELS
from emo_models.modeling.text_classifier import CLASSES, text_classifier


def new_classifier(
    source: str, *, pooling: str, dropout: float, random_weights: bool, seed: int
) -> tuple[Any, Any]:
    """A classifier whose encoder is that of ``source``, its head fresh.

    Args:
        source: a Hugging Face directory or Hub id; with ``random_weights`` a directory with
            config.json and vocab.txt is enough.
        pooling: ``cls`` or ``mean``.
        dropout: of the whole network.
        random_weights: don't read any weights (to try a size out).
        seed: of the fresh weights.

    Returns:
        the model and its tokenizer.
    """
    if not Path(source).is_dir() and (Path(source).exists() or source.count("/") != 1):
        raise CheckpointError(f"{source}: neither a directory nor a Hub id.")
    # BETO's own config.json names no model_type, so it is not AutoConfig that reads it.
    values = BertConfig.get_config_dict(_config_source(source))[0]
    if values.get("model_type", "bert") != "bert":
        raise CheckpointError(
            f"{source}: is a {values['model_type']!r} network; this recipe is for BERT, as BETO is."
        )
    values |= {
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: index for index, label in enumerate(LABELS)},
        "pooling": pooling,
    }
    config = BertConfig.from_dict(values)
    torch.manual_seed(seed)
    if random_weights:
        model = text_classifier(config)
    else:
        model = CLASSES[pooling].from_pretrained(source, config=config, torch_dtype=torch.float32)
    return model, tokenizer_of(source)


def tokenizer_of(source: str) -> Any:
    """The tokenizer of a directory or Hub id.

    A directory with nothing but BERT's vocab.txt is read with its own special tokens' ids
    (BETO's differ from BERT's), cased or not as tokenizer_config.json says; cased without one.
    """
    directory = Path(source)
    if directory.is_dir() and not (directory / "tokenizer.json").exists():
        if not (directory / "vocab.txt").exists():
            raise CheckpointError(f"{source}: holds neither tokenizer.json nor vocab.txt.")
        if not (directory / "tokenizer_config.json").exists():
            lower = "uncased" in directory.name
            return BertTokenizerFast(
                vocab_file=str(directory / "vocab.txt"),
                do_lower_case=lower,
                strip_accents=False,
                model_max_length=512,
            )
    return AutoTokenizer.from_pretrained(source)


def _config_source(source: str) -> str:
    directory = Path(source)
    if directory.is_dir() and not (directory / "config.json").is_file():
        raise CheckpointError(f"{source}: holds no config.json.")
    return source
