"""Reader of a checkpoint's tokenizer, shared by training, evaluation and export."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, BertTokenizerFast
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

from emo_models.errors import CheckpointError, first_line

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
VOCABULARY = "vocab.txt"
# Vocabulary files to build a fast tokenizer from if there is no tokenizer.json.
_VOCABULARIES = (
    VOCABULARY,
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "tokenizer.model",
)


def read_tokenizer(directory: Path, config: Any) -> Any:
    """Return the fast transformers tokenizer of a checkpoint.

    ``tokenizer_config.json`` is respected (``do_lower_case``, ``strip_accents``). A bare
    ``vocab.txt`` specifies neither: it is cased if an entry has an upper-case letter, and keeps
    accents if an entry has an accented letter.

    Args:
        directory: directory of the checkpoint.
        config: its transformers configuration. It gives the number of token ids, and the
            tokenizer's class if the directory does not.

    Raises:
        CheckpointError: no tokenizer, no fast version of it, or the tokenizer of another model.
    """
    if not any((directory / name).is_file() for name in (TOKENIZER, *_VOCABULARIES)):
        raise CheckpointError(
            f"{directory}: holds no tokenizer. Looked for {TOKENIZER}, {', '.join(_VOCABULARIES)}. "
            f"Copy the checkpoint's {TOKENIZER} there."
        )
    try:
        tokenizer = _read(directory, config)
    except ImportError as error:
        raise CheckpointError(
            f"{directory}: its tokenizer is a SentencePiece model, and a package to read it is "
            f"missing ({first_line(error)}). "
            'pip install "emo-runtime[train,export]", or copy the tokenizer.json there.'
        ) from error
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(
            f"{directory}: its tokenizer can't be read: {first_line(error)}. Copy the "
            f"checkpoint's {TOKENIZER} there."
        ) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{directory}: {type(tokenizer).__name__} has no fast form, so no {TOKENIZER} can be "
            "made of it."
        )
    if tokenizer.pad_token_id is None:
        raise CheckpointError(f"{directory}: its tokenizer has no padding token.")
    largest = max(tokenizer.get_vocab().values())
    if largest >= int(config.vocab_size):
        raise CheckpointError(
            f"{directory}: the tokenizer has the id {largest}, the network knows "
            f"{config.vocab_size} ids. They are not of the same model."
        )
    return tokenizer


def declares_its_case(directory: Path) -> bool:
    """True unless the tokenizer is a bare vocabulary without case and accent settings."""
    if (directory / TOKENIZER).is_file() or not (directory / VOCABULARY).is_file():
        return True
    return "do_lower_case" in _settings(directory)


def _read(directory: Path, config: Any) -> Any:
    settings = _settings(directory)
    slow, fast = TOKENIZER_MAPPING.get(type(config), (None, None))
    if not declares_its_case(directory) and (slow is None or fast is BertTokenizerFast):
        cased, accents = _letters(directory / VOCABULARY)
        return BertTokenizerFast.from_pretrained(
            directory, do_lower_case=not cased, strip_accents=False if cased or accents else None
        )
    if "tokenizer_class" not in settings and fast is not None:
        # Not AutoTokenizer: it needs the model_type, which BETO's config.json does not have.
        return fast.from_pretrained(directory)
    return AutoTokenizer.from_pretrained(directory, use_fast=True, local_files_only=True)


def _settings(directory: Path) -> dict[str, Any]:
    path = directory / SETTINGS
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: not a JSON object.")
    return settings


def _letters(vocabulary: Path) -> tuple[bool, bool]:
    """Return two flags: an entry has an upper-case letter; an entry has an accented letter."""
    entries = [
        entry
        for entry in vocabulary.read_text(encoding="utf-8").splitlines()
        if not (entry.startswith("[") and entry.endswith("]"))
    ]
    text = "".join(entries)
    accents = any(unicodedata.combining(letter) for letter in unicodedata.normalize("NFD", text))
    return text != text.lower(), accents
