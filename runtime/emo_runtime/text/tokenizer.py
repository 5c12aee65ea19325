"""Transcripts to token ids with the bundle's own tokenizer.json."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from emo_runtime.bundle.text_preparation import TextPreparation
from emo_runtime.errors import BundleError, TextError
from emo_runtime.notes import Note
from emo_runtime.text.preparation import prepare
from emo_runtime.text.tokenizer_check import check_tokenizer

MAX_CHARACTERS = 100_000
_UNCHANGED = TextPreparation()


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids, int64 [1, tokens], with the special tokens; ``notes`` are remarks on the text."""

    ids: NDArray[np.int64]
    notes: tuple[Note, ...]


class TextTokenizer:
    """A Hugging Face fast tokenizer that truncates to ``max_tokens``. Thread-safe.

    Args:
        data: Bytes of tokenizer.json.
        name: File name for messages.
        max_tokens: Most tokens of a transcript, special tokens included.
        vocab_size: Number of ids that the graph accepts.
        keep_special: Recognize special tokens inside a transcript. By default ``[SEP]`` or
            ``</s>`` in a transcript is plain text, since it comes from a caller.

    Raises:
        BundleError: The tokenizer is damaged, unsafe, or does not fit the graph.
    """

    def __init__(
        self,
        data: bytes,
        name: str,
        max_tokens: int,
        vocab_size: int,
        *,
        keep_special: bool = False,
    ) -> None:
        check_tokenizer(data, name)
        try:
            tokenizer = Tokenizer.from_buffer(data)
        except Exception as error:  # noqa: BLE001  (tokenizers raises bare Exception)
            raise BundleError(
                f"{name}: the tokenizer can't be loaded: {str(error)[:200]}. Export the bundle "
                "again."
            ) from None
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        if largest >= vocab_size:
            raise BundleError(
                f"{name}: has the id {largest}, but the graph accepts {vocab_size} ids. The "
                "tokenizer belongs to another model: export the bundle again."
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        tokenizer.encode_special_tokens = not keep_special
        self._tokenizer = tokenizer
        self._name = name
        self._max_tokens = max_tokens
        self._unknown = tokenizer.token_to_id("[UNK]")

    def __call__(self, text: str, preparation: TextPreparation = _UNCHANGED) -> Tokens:
        """Return the token ids of one transcript.

        Composed and decomposed accents (NFC, NFD) give the same ids.

        Raises:
            TextError: The transcript is not a string, is too long, or has no words.
            BundleError: The tokenizer fails.
        """
        _check_text(text)
        prepared = prepare(text, preparation)
        try:
            encoding = self._tokenizer.encode(prepared)
        except Exception as error:  # noqa: BLE001  (tokenizers raises bare Exception)
            raise BundleError(
                f"{self._name}: the tokenizer failed ({type(error).__name__}). Export the bundle "
                "again."
            ) from None
        ids = np.array([encoding.ids], np.int64)
        if all(encoding.special_tokens_mask):
            raise TextError(
                "the transcript has no words left after tokenization (it has invisible characters "
                "only). Give its words, or leave it out."
            )
        if ids.size > self._max_tokens:
            raise BundleError(
                f"{self._name}: gave {ids.size} tokens, the limit is {self._max_tokens}. Export "
                "the bundle again."
            )
        notes = []
        if encoding.overflowing:
            message = f"only the first {self._max_tokens} tokens were used. Give single utterances"
            notes.append(Note("text_truncated", message))
        words = ids[0, np.array(encoding.special_tokens_mask) == 0]
        if self._unknown is not None and (words == self._unknown).all():
            message = "the vocabulary of the model has no word of the transcript"
            notes.append(Note("unknown_text", message))
        return Tokens(ids, tuple(notes))


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TextError(f"the transcript is of type {type(text).__name__:.40}. Give a string.")
    if len(text) > MAX_CHARACTERS:
        raise TextError(
            f"the transcript has {len(text):,} characters, at most {MAX_CHARACTERS:,} are allowed. "
            "Give single utterances."
        )
    try:
        text.encode()  # old tokenizers would read a different text
    except UnicodeEncodeError:
        raise TextError(
            "the transcript has lone surrogates, which are not Unicode text. Decode it with "
            "errors='replace', or repair its source."
        ) from None
    if not text.strip():
        raise TextError("the transcript is empty. Give its words, or leave it out.")
