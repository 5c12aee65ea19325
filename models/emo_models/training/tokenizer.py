"""A cased WordPiece vocabulary, trained on plain text."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import WordPieceTrainer

from emo_models.atomic import atomic_text

# BERT's special tokens, with ids 0 to 4.
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
UNKNOWN = SPECIAL_TOKENS[1]


def train_tokenizer(
    lines: Callable[[], Iterable[str]], *, vocab_size: int = 8000, limit_alphabet: int = 160
) -> Tokenizer:
    """Train a cased WordPiece tokenizer like BERT's; the same text gives the same vocabulary.

    Accents and case are kept because they carry meaning in Spanish. Text is normalized to NFC, so
    that "é" as one and as two code points gives the same ids.

    Args:
        lines: returns an iterator over the text, one piece per item; called twice.
        vocab_size: number of entries, including the five special tokens.
        limit_alphabet: number of single characters to keep, the most frequent first.
    """
    # The trainer numbers the "##x" in the order of a randomly seeded hash map and breaks ties
    # between merges by those numbers. So a first pass collects the alphabet, and the second pass
    # starts with it, sorted.
    alphabet = _trained(lines(), list(SPECIAL_TOKENS), len(SPECIAL_TOKENS), limit_alphabet)
    pieces = sorted(set(alphabet.get_vocab()) - set(SPECIAL_TOKENS))
    trained = _trained(lines(), [*SPECIAL_TOKENS, *pieces], vocab_size, limit_alphabet)
    return _bert_tokenizer(trained.get_vocab())


def _trained(
    lines: Iterable[str], first: list[str], vocab_size: int, limit_alphabet: int
) -> Tokenizer:
    tokenizer = _bert_tokenizer({})
    trainer = WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=first,
        limit_alphabet=limit_alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def _bert_tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(
        models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=100)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(
                clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
            ),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if vocabulary:
        tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.BertProcessing(
        sep=("[SEP]", SPECIAL_TOKENS.index("[SEP]")),
        cls=("[CLS]", SPECIAL_TOKENS.index("[CLS]")),
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: Path, *, positions: int) -> None:
    """Write tokenizer.json and tokenizer_config.json for transformers' AutoTokenizer.

    Args:
        tokenizer: a trained tokenizer.
        directory: output directory, created if missing.
        positions: number of positions of the encoder; longer texts are truncated.
    """
    directory.mkdir(parents=True, exist_ok=True)
    atomic_text(directory / "tokenizer.json", tokenizer.to_str(pretty=True))
    config = {
        # Not BertTokenizerFast: that class replaces the normalizer with one without NFC.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": positions,
        "clean_up_tokenization_spaces": False,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
        "model_input_names": ["input_ids", "attention_mask"],
    }
    atomic_text(directory / "tokenizer_config.json", json.dumps(config, indent=2) + "\n")


def read_lines(files: Iterable[Path]) -> Iterator[str]:
    """Yield the stripped, non-empty lines of text files; ``.xz`` files are decompressed."""
    for path in files:
        with (
            lzma.open(path, "rt", encoding="utf-8")
            if path.suffix == ".xz"
            else path.open(encoding="utf-8") as stream
        ):
            for line in stream:
                if stripped := line.strip():
                    yield stripped
