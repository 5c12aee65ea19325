"""The ids of the bundle's tokenizer are compared with those of transformers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers

from emo_export.checkpoints.load import Checkpoints
from emo_export.checkpoints.tokenizer import check_tokenizer
from emo_models.errors import CheckpointError

TEXTS = ["no puedo más", "Estoy Muy contenta"]


def test_other_ids_are_an_error_that_names_the_row(
    maker: Any, loaded: Callable[..., Checkpoints]
) -> None:
    text = loaded(maker.text()).text
    assert text is not None
    check_tokenizer(text, text.bundle_tokenizer, TEXTS)
    lower = Tokenizer.from_str(text.bundle_tokenizer.json)
    lower.normalizer = normalizers.Lowercase()
    changed = replace(text.bundle_tokenizer, json=lower.to_str())
    check_tokenizer(text, changed, TEXTS[:1])  # these have the same ids
    with pytest.raises(CheckpointError, match="give different ids for row 2 of the evaluation"):
        check_tokenizer(text, changed, TEXTS)
