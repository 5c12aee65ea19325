"""Transcripts and tokenizers that could take unbounded time or memory; Unicode forms."""

import json
import unicodedata

import pytest

from emo_runtime import BundleError, EmotionRecognizer, TextError
from emo_runtime.text.tokenizer import MAX_CHARACTERS, TextTokenizer
from emo_runtime.text.tokenizer_check import MAX_STEPS, check_tokenizer
from helpers.tiny import Tiny, tokenizer_json

TINY = Tiny()


def tokenizer(max_tokens=16, **changes):
    document = json.loads(tokenizer_json(TINY)) | changes
    data = json.dumps(document).encode()
    return TextTokenizer(data, "tokenizer.json", max_tokens, len(TINY.vocabulary))


def split(pattern):
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


@pytest.mark.parametrize("text", ["¡Qué vergüenza, mañana más!", "Vietnamita: ệ ộ", "Å Å"])
def test_composed_and_decomposed_accents_give_the_same_answer(tiny_bundle, text):
    """Impact: the same words from another keyboard or recognizer would get another label."""
    recognizer = EmotionRecognizer.open(tiny_bundle())
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    assert len({tuple(recognizer.recognize(form).scores.values()) for form in forms}) == 1


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|a)*b", r"(a*)*b", "(?=x)", r"a+a+a+$", "x|y", r"\1", "[a-z]+[a-z]+"]
)
def test_patterns_that_may_backtrack(pattern):
    """Impact: a transcript of 41 letters ended the process in a panic, which no `except` sees."""
    with pytest.raises(BundleError, match="unbounded time"):
        tokenizer(pre_tokenizer=split(pattern))
    nested = {"type": "Sequence", "pretokenizers": [split(" "), split(pattern)]}
    with pytest.raises(BundleError, match="unbounded time"):
        tokenizer(pre_tokenizer=nested)


@pytest.mark.parametrize("pattern", [" {2,}", r"\s+", "[^a-z ]", " "])
def test_patterns_that_encoders_use(pattern):
    """Impact: none; these are linear."""
    assert tokenizer(pre_tokenizer=split(pattern))("hola casa").ids.size > 2


def test_replacements_that_grow():
    """Impact: nine tenfold replacements expand one letter to a gigabyte."""
    step = {"type": "Replace", "pattern": {"String": "h"}, "content": "h" * 10}
    with pytest.raises(BundleError, match="makes every text longer"):
        tokenizer(normalizer={"type": "Sequence", "normalizers": [step] * 9})
    kept = {"type": "Replace", "pattern": {"String": "hola"}, "content": "casa"}
    assert tokenizer(normalizer=kept)("hola").ids.size == 3


def test_too_many_steps():
    """Impact: time, a little for each step and each letter."""
    steps = [{"type": "NFC"}] * MAX_STEPS
    with pytest.raises(BundleError, match="more than 256 steps"):
        tokenizer(normalizer={"type": "Sequence", "normalizers": steps})


def test_nested_without_end():
    """Impact: a RecursionError, or the stack."""
    with pytest.raises(BundleError, match="nested too deeply"):
        check_tokenizer(b'{"normalizer":' + b"[" * 100_000, "tokenizer.json")


def test_a_vocabulary_without_its_unknown_token():
    """Impact: a bare Exception of the library for the first foreign letter."""
    document = json.loads(tokenizer_json(TINY))
    del document["model"]["vocab"]["[UNK]"]
    with pytest.raises(BundleError, match="the tokenizer failed"):
        tokenizer(model=document["model"])("中")


def test_a_text_that_becomes_empty():
    """Impact: a graph that gets no token divides by zero."""
    removing = {
        "type": "Split",
        "pattern": {"String": "h"},
        "behavior": "Removed",
        "invert": False,
    }
    with pytest.raises(TextError, match="has no words left after tokenization"):
        tokenizer(post_processor=None, pre_tokenizer=removing)("hh")


def test_a_limit_that_the_library_ignores():
    """Impact: with a limit below two it does not truncate at all: attention is quadratic."""
    with pytest.raises(BundleError, match="gave 102 tokens, the limit is 1"):
        tokenizer(max_tokens=1)("hola " * 100)


@pytest.mark.parametrize("text", ["a" * 10_000_000, "\u0301" * MAX_CHARACTERS + "xy"])
def test_a_very_long_text(text):
    """Impact: ten megabytes in one request."""
    with pytest.raises(TextError, match="characters"):
        tokenizer()(text)


@pytest.mark.parametrize(
    "text",
    ["\u0301" * MAX_CHARACTERS, "ﷺ" * 5_000, "\U0001f468\u200d\U0001f469" * 9_000, "\x00\x1b[2J"],
)
def test_texts_that_are_hard_to_normalize(text):
    """Impact: composition of a long run of marks must stay linear."""
    assert tokenizer()(text).ids.size <= 16
