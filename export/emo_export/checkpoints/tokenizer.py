"""The tokenizer of a checkpoint as one plain ``tokenizer.json``."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertTokenizerFast

from emo_models.errors import CheckpointError


@dataclass(frozen=True)
class BundleTokenizer:
    """``json`` is the file's text, without truncation and padding: the runtime sets those."""

    json: str
    max_tokens: int
    vocab_size: int

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self.json)
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    def encode(self, text: str) -> NDArray[np.int64]:
        """Token ids with the special tokens, shape [tokens], at most ``max_tokens``."""
        return np.asarray(self._tokenizer.encode(text).ids, dtype=np.int64)


def read_tokenizer(directory: Path, *, positions: int, vocab_size: int) -> BundleTokenizer:
    """The fast tokenizer that transformers finds in ``directory``.

    Where only a ``vocab.txt`` stands (as BETO was published), BERT's WordPiece is built from it;
    it is cased if an entry holds an upper-case letter. ``positions`` and ``vocab_size`` are the
    encoder's. Raises CheckpointError where there is none, or where it has ids the encoder lacks.
    """
    fast = _fast_tokenizer(directory)
    backend = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    largest = max(backend.get_vocab(with_added_tokens=True).values())
    if largest >= vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has the id {largest}, the encoder knows {vocab_size} ids. "
            "They are not of the same model."
        )
    return BundleTokenizer(backend.to_str(pretty=True) + "\n", positions, vocab_size)


def _fast_tokenizer(directory: Path) -> BertTokenizerFast:
    vocabulary = directory / "vocab.txt"
    if not (directory / "tokenizer.json").is_file() and vocabulary.is_file():
        return BertTokenizerFast(str(vocabulary), do_lower_case=_lower_case(directory, vocabulary))
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, use_fast=True, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{directory}: holds no tokenizer that can be read ({error}). Put the checkpoint's "
            "tokenizer.json there."
        ) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{directory}: its tokenizer has no fast form, so no tokenizer.json can be made of it."
        )
    return tokenizer


def _lower_case(directory: Path, vocabulary: Path) -> bool:
    config = directory / "tokenizer_config.json"
    if config.is_file():
        said = json.loads(config.read_text(encoding="utf-8")).get("do_lower_case")
        if said is not None:
            return bool(said)
    entries = vocabulary.read_text(encoding="utf-8").split("\n")
    return not any(entry != entry.lower() for entry in entries if not entry.startswith("["))
