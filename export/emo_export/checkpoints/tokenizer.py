"""Convert the tokenizer of a checkpoint to a single ``tokenizer.json``."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from emo_models.errors import CheckpointError
from emo_models.modeling.load import TextCheckpoint
from emo_models.modeling.source import read_config
from emo_models.modeling.tokenizer import declares_its_case

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class BundleTokenizer:
    """``json`` is the file's text, without truncation and padding, which the runtime sets."""

    json: str
    max_tokens: int
    vocab_size: int

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self.json)
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    def encode(self, text: str) -> Ids:
        """Return token ids with the special tokens, shape [tokens], at most ``max_tokens``."""
        return np.asarray(self._tokenizer.encode(text).ids, dtype=np.int64)


def bundle_tokenizer(checkpoint: TextCheckpoint) -> BundleTokenizer:
    """Return the tokenizer of a checkpoint in the bundle's format."""
    backend = Tokenizer.from_str(checkpoint.tokenizer.backend_tokenizer.to_str())
    backend.no_truncation()
    backend.no_padding()
    return BundleTokenizer(
        backend.to_str(pretty=True) + "\n", checkpoint.max_tokens, checkpoint.vocab_size
    )


def check_tokenizer(
    checkpoint: TextCheckpoint, tokenizer: BundleTokenizer, texts: Sequence[str]
) -> None:
    """Compare the ids of a bundle's tokenizer with those of transformers' AutoTokenizer.

    Skipped if AutoTokenizer can't determine the tokenizer: for a bare ``vocab.txt`` without case
    and accent settings, or a config.json without an architecture.

    Raises:
        CheckpointError: the ids differ for one of ``texts``.
    """
    directory = checkpoint.directory
    if not declares_its_case(directory) or "model_type" not in read_config(directory):
        return
    theirs: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    for number, text in enumerate(texts, start=1):
        expected = theirs(text, truncation=True, max_length=tokenizer.max_tokens)["input_ids"]
        if tokenizer.encode(text).tolist() != expected:
            raise CheckpointError(
                f"{directory}: the tokenizer of the bundle and transformers' AutoTokenizer "
                f"({type(theirs).__name__}) give different ids for row {number} of the evaluation "
                "rows. Save the tokenizer again with AutoTokenizer.from_pretrained(DIR)"
                ".save_pretrained(DIR)."
            )
