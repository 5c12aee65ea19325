"""Trim a unigram (XLM-R) encoder to the pieces that a corpus needs, and to its first layers."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from emo_models.atomic import atomic_text
from emo_models.errors import CheckpointError, DataError
from emo_models.modeling.load import quiet
from emo_models.modeling.source import weights_sha256
from emo_models.training.tokenizer import read_lines

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_ROLES = {
    "bos": "<s>",
    "eos": "</s>",
    "sep": "</s>",
    "cls": "<s>",
    "unk": "<unk>",
    "pad": "<pad>",
    "mask": "<mask>",
}
_SPACE = "▁"
_LATIN_END = 0x250
_BATCH = 20_000


@dataclass(frozen=True)
class Coverage:
    """Coverage of a text by a vocabulary.

    Attributes:
        lines: number of lines.
        words: number of words, separated by white space.
        tokens_per_word: mean number of tokens of a word.
        unknown_tokens: share of tokens that are ``<unk>``.
        lines_with_unknown: share of lines with at least one ``<unk>``.
    """

    lines: int
    words: int
    tokens_per_word: float
    unknown_tokens: float
    lines_with_unknown: float


def trim_encoder(
    encoder: Path,
    output: Path,
    *,
    texts: Sequence[Path],
    vocabulary: int,
    layers: int | None = None,
    held_out_share: float = 0.1,
) -> dict[str, Any]:
    """Write a smaller encoder to ``output`` and return its report, also in ``trim.json``.

    Every n-th line of the texts is held out of the piece counts; the coverage of the old and the
    new vocabulary is measured on these lines.

    Args:
        encoder: directory of an encoder with a unigram ``tokenizer.json``.
        output: directory to write; it must not exist or be empty.
        texts: plain text, one piece per line; each file has the same weight.
        vocabulary: number of pieces to keep.
        layers: number of layers to keep, from the first; None keeps all.
        held_out_share: share of lines that only measure the coverage.

    Raises:
        CheckpointError: not an encoder with a unigram tokenizer, or fewer layers than asked for.
        DataError: no text, or an output directory that is not empty.
    """
    if output.exists() and any(output.iterdir()):
        raise DataError(f"{output}: is not empty. Give another --output.")
    definition = _read_definition(encoder / "tokenizer.json")
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    counts, held_out = _count_files(tokenizer, texts, held_out_share)
    pieces = definition["model"]["vocab"]
    kept = choose_pieces([piece for piece, _ in pieces], counts, vocabulary)
    trimmed = trimmed_definition(definition, kept)
    model = _trimmed_model(encoder, kept, trimmed, layers)
    report = {
        "encoder": weights_sha256(encoder),
        "pieces": {"before": len(pieces), "after": len(kept)},
        "layers": model.config.num_hidden_layers,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "coverage": {
            "before": asdict(coverage(tokenizer, held_out)),
            "after": asdict(coverage(Tokenizer.from_str(json.dumps(trimmed)), held_out)),
        },
    }
    output.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output)
    _save_tokenizer(trimmed, output, model.config.max_position_embeddings)
    atomic_text(output / "trim.json", json.dumps(report, indent=2) + "\n")
    return report


def choose_pieces(pieces: Sequence[str], counts: Sequence[Counter[int]], size: int) -> list[int]:
    """Return the old ids of the pieces to keep, in the old order.

    The special tokens and all single Latin characters, digits, punctuation marks and symbols are
    kept, so that few characters become ``<unk>``. The most used pieces fill the rest.

    Args:
        pieces: the old vocabulary.
        counts: uses of each piece, one counter per source; uses are made relative to the source.
        size: number of pieces to keep. Fewer are kept where the texts use fewer.
    """
    kept = {i for i, piece in enumerate(pieces) if piece in SPECIAL_TOKENS or is_basic(piece)}
    score = np.zeros(len(pieces))
    for counter in counts:
        total = sum(counter.values())
        for piece, uses in counter.items():
            score[piece] += uses / total
    for number in np.argsort(-score, kind="stable"):
        if len(kept) >= size or score[number] == 0:
            break
        kept.add(int(number))
    return sorted(kept)


def trimmed_definition(definition: dict[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """Return the ``tokenizer.json`` with only the ``kept`` pieces; ids are positions in it."""
    old = definition["model"]["vocab"]
    new: dict[str, Any] = json.loads(json.dumps({**definition, "model": None}))
    place = {old[i][0]: number for number, i in enumerate(kept)}
    new["model"] = {
        **definition["model"],
        "vocab": [old[i] for i in kept],
        "unk_id": place["<unk>"],
    }
    for token in new["added_tokens"]:
        token["id"] = place[token["content"]]
    for token in ((new.get("post_processor") or {}).get("special_tokens") or {}).values():
        token["ids"] = [place[name] for name in token["tokens"]]
    return new


def coverage(tokenizer: Tokenizer, lines: Sequence[str]) -> Coverage:
    """Measure the coverage of ``lines`` by the vocabulary of ``tokenizer``."""
    unknown_id = tokenizer.token_to_id("<unk>")
    tokens = unknown = with_unknown = 0
    for encoded in tokenizer.encode_batch(list(lines), add_special_tokens=False):
        missing = encoded.ids.count(unknown_id)
        tokens, unknown = tokens + len(encoded.ids), unknown + missing
        with_unknown += missing > 0
    words = sum(len(line.split()) for line in lines)
    return Coverage(
        lines=len(lines),
        words=words,
        tokens_per_word=tokens / max(1, words),
        unknown_tokens=unknown / max(1, tokens),
        lines_with_unknown=with_unknown / max(1, len(lines)),
    )


def is_basic(piece: str) -> bool:
    """True for one Latin character, digit, punctuation mark or emoji, and for the space mark."""
    text = piece.removeprefix(_SPACE)
    if piece == _SPACE:
        return True
    if len(text) != 1:
        return False
    point, kind = ord(text), unicodedata.category(text)
    if point < _LATIN_END:
        return True
    if piece != text:
        return False
    return (0x2000 <= point < 0x2700 and kind[0] in "PS") or 0x1F300 <= point < 0x1FB00


def _read_definition(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file. Give the directory of an encoder.")
    definition: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kind = (definition.get("model") or {}).get("type")
    if kind != "Unigram":
        raise CheckpointError(
            f"{path}: is a {kind} tokenizer. Only Unigram vocabularies (XLM-R) can be trimmed."
        )
    pieces = {piece for piece, _ in definition["model"]["vocab"]}
    if missing := [name for name in SPECIAL_TOKENS if name not in pieces]:
        raise CheckpointError(f"{path}: the vocabulary has no {', '.join(missing)}.")
    return definition


def _count_files(
    tokenizer: Tokenizer, files: Sequence[Path], held_out_share: float
) -> tuple[list[Counter[int]], list[str]]:
    step = max(2, round(1 / held_out_share))
    counts, held_out = [], []
    for path in files:
        if not path.is_file():
            raise DataError(f"{path}: no such file.")
        counter: Counter[int] = Counter()
        lines = read_lines([path])
        while batch := list(islice(lines, _BATCH)):
            held_out.extend(batch[step - 1 :: step])
            _count(tokenizer, [line for n, line in enumerate(batch, 1) if n % step], counter)
        if not counter:
            raise DataError(f"{path}: no text.")
        counts.append(counter)
    if not held_out:
        raise DataError(f"the texts have fewer than {step} lines: too few to measure coverage.")
    return counts, held_out


def _count(tokenizer: Tokenizer, lines: Iterable[str], counter: Counter[int]) -> None:
    for encoded in tokenizer.encode_batch(list(lines), add_special_tokens=False):
        counter.update(encoded.ids)


def _trimmed_model(
    encoder: Path, kept: Sequence[int], definition: dict[str, Any], layers: int | None
) -> Any:
    config = AutoConfig.from_pretrained(encoder, local_files_only=True)
    options = {"add_pooling_layer": False} if config.model_type in ("bert", "xlm-roberta") else {}
    with quiet():
        model = AutoModel.from_pretrained(encoder, local_files_only=True, **options)
    stack = getattr(getattr(model, "encoder", None), "layer", None)
    if stack is None:
        raise CheckpointError(
            f"{encoder}: {type(model).__name__} has no encoder.layer. BERT and XLM-R encoders "
            "can be trimmed."
        )
    if layers is not None:
        if layers > len(stack):
            raise CheckpointError(f"{encoder}: has {len(stack)} layers, not {layers}.")
        model.encoder.layer = stack[:layers]
        model.config.num_hidden_layers = layers
    places = {piece: number for number, (piece, _) in enumerate(definition["model"]["vocab"])}
    old = model.get_input_embeddings().weight.data
    table = nn.Embedding(len(kept), old.shape[1], padding_idx=places["<pad>"])
    table.weight.data = old[torch.tensor(kept)].clone()
    model.set_input_embeddings(table)
    model.config.vocab_size = len(kept)
    model.config.pad_token_id = places["<pad>"]
    model.config.bos_token_id = places["<s>"]
    model.config.eos_token_id = places["</s>"]
    return model


def _save_tokenizer(definition: dict[str, Any], output: Path, positions: int) -> None:
    names = {f"{role}_token": piece for role, piece in _ROLES.items()}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(definition)),
        model_max_length=positions,
        **names,
    ).save_pretrained(output)
