"""Transcripts to token ids, by the bundle's own tokenizer.json."""

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from emo_runtime.errors import BundleError, TextError
from emo_runtime.notes import Note
from emo_runtime.text.tokenizer_check import check_tokenizer

MAX_CHARACTERS = 100_000


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids, int64 [1, tokens], [CLS] and [SEP] included; ``notes`` tell what was unusual."""

    ids: NDArray[np.int64]
    notes: tuple[Note, ...]


class TextTokenizer:
    """A Hugging Face fast tokenizer, truncating to ``max_tokens``. Safe to share."""

    def __init__(self, data: bytes, name: str, max_tokens: int, vocab_size: int) -> None:
        check_tokenizer(data, name)
        try:
            tokenizer = Tokenizer.from_buffer(data)
        except Exception as error:  # noqa: BLE001  (tokenizers raises bare Exception)
            raise BundleError(
                f"{name}: not a tokenizer that can be loaded: {error}. Export the bundle again."
            ) from None
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest >= vocab_size:
            raise BundleError(
                f"{name}: has the id {largest}, the graph knows {vocab_size} ids. The tokenizer "
                "belongs to another model: export the bundle again."
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self._tokenizer = tokenizer
        self._name = name
        self._max_tokens = max_tokens
        self._unknown = tokenizer.token_to_id("[UNK]")

    def __call__(self, text: str, *, strip: bool = False) -> Tokens:
        """Token ids of one transcript, without its outer blanks if ``strip``.

        Composed and decomposed accents (NFC, NFD) are the same text. Raises TextError, and
        BundleError where the tokenizer fails.
        """
        _check_text(text)
        composed = unicodedata.normalize("NFC", text.strip() if strip else text)
        try:
            encoding = self._tokenizer.encode(composed)
        except Exception as error:  # noqa: BLE001  (tokenizers raises bare Exception)
            raise BundleError(
                f"{self._name}: the tokenizer failed: {error}. Export the bundle again."
            ) from None
        ids = np.array([encoding.ids], np.int64)
        if not ids.size:
            raise TextError("nothing of the transcript is left once it is tokenized. Give words.")
        if ids.size > self._max_tokens:
            raise BundleError(
                f"{self._name}: gave {ids.size} tokens, the graph takes {self._max_tokens}. Export "
                "the bundle again."
            )
        notes = []
        if encoding.overflowing:
            message = f"the transcript was cut at {self._max_tokens} tokens: give single utterances"
            notes.append(Note("text_truncated", message))
        if self._unknown is not None and ids.shape[1] > 2 and (ids[0, 1:-1] == self._unknown).all():
            message = "no word of the transcript is known to the vocabulary"
            notes.append(Note("unknown_text", message))
        return Tokens(ids, tuple(notes))


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TextError(f"a transcript of type {type(text).__name__}: give a string.")
    if len(text) > MAX_CHARACTERS:
        raise TextError(
            f"the transcript has {len(text):,} characters, at most {MAX_CHARACTERS:,} are read. "
            "Give single utterances."
        )
    try:
        text.encode()  # old tokenizers would read something else
    except UnicodeEncodeError:
        raise TextError(
            "the transcript has characters that are no Unicode text (lone surrogates). Decode "
            "it with errors='replace', or mend its source."
        ) from None
    if not text.strip():
        raise TextError("the transcript is empty. Give its words, or leave it out.")
