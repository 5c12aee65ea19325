"""Augmentation of text: the spelling of speech recognizers and of hurried writers."""

from __future__ import annotations

import unicodedata

import numpy as np

from emo_models.mixture_recipe import TextAugmentation

_NO_OPENING_MARKS = str.maketrans("", "", "¿¡")


def augment(text: str, shares: TextAugmentation, rng: np.random.Generator) -> str:
    """Return the text with changes drawn at random. It never becomes empty."""
    if rng.random() < shares.recognizer:
        text = as_recognized(text) or text
    if rng.random() < shares.no_opening_marks:
        text = text.translate(_NO_OPENING_MARKS) or text
    if rng.random() < shares.no_accents:
        text = without_accents(text) or text
    if rng.random() < shares.lower:
        text = text.lower()
    if rng.random() < shares.no_final_mark:
        text = text.rstrip(".!") or text
    return text


def as_recognized(text: str) -> str:
    """Return the text in lower case and without punctuation, as speech recognizers write."""
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())
    return " ".join("".join(kept).split())


def without_accents(text: str) -> str:
    """Return the text without combining marks: ``nino`` for ``niño`` too."""
    marks = unicodedata.normalize("NFD", text)
    return "".join(char for char in marks if unicodedata.category(char) != "Mn")


def text_key(text: str) -> str:
    """Return the words of a text in lower case and without accents.

    Texts that differ only in Unicode normalization, case, accents, punctuation or spaces have the
    same key.
    """
    return as_recognized(without_accents(text))
