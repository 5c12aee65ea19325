"""Declared changes to a transcript before it is tokenized, the same in training and at run time.

The rules are a fixed set, so that a bundle can't contain code or regular expressions. Together they
are the preprocessing of RoBERTuito and other models trained on social media (pysentimiento's
``preprocess_tweet``).
"""

import re
import unicodedata
from collections.abc import Callable

from emo_runtime.bundle.text_preparation import RULES, Rule, TextPreparation
from emo_runtime.text.emoji import replace_emoji

__all__ = ["RULES", "Rule", "TextPreparation", "prepare"]


def prepare(text: str, preparation: TextPreparation) -> str:
    """Normalize a transcript to NFC and apply a preparation, in time linear in its length.

    Composed and decomposed accents are thus the same text, with any preparation.
    """
    text = unicodedata.normalize("NFC", text)
    for rule in RULES:
        if rule in preparation.replace:
            text = _APPLY[rule](text)
    if preparation.lowercase:
        text = text.lower()
    return text.strip() if preparation.strip else text


_QUOTES = dict.fromkeys("¨«»“”", '"')
_REMOVED = dict.fromkeys("~£¥©°´¶·º×ا–—‘’•…™●☠☹☺♀♂⚰⛱⛹✈✓❤ー🕯🛰", "")
_REPLACED = {"‼": "!", "€": "$", "☻": "😃", "♡": "❤\ufe0f", "♥": "❤\ufe0f"}
_CHARACTERS = str.maketrans(_QUOTES | _REMOVED | _REPLACED)
_USER = re.compile(r"@[A-Za-z0-9_]{0,15}")
_URL = re.compile(
    r"(?<![A-Za-z0-9.])(?:https?://[^\s<>\"]+"
    r"|(?:[A-Za-z0-9-]{1,63}\.){1,5}(?:com|org|net|info|es|co|mx|ar|cl|pe|uy|io|tv|eu)\b(?:/[^\s<>\"]*)?)"
)
_REPEATED = re.compile(r"(.)\1{3,}")
_LAUGHTER = re.compile(r"[ja]{5,}")
_HASHTAG = re.compile(r"\B#(\w+)")
_CAPITALS = re.compile(r"[A-Z]+")


def _laugh(match: re.Match[str]) -> str:
    # Laughter contains "aj" with two letters before and one after it.
    return "jaja" if "aj" in match[0][2:-1] else match[0]


def _split_words(match: re.Match[str]) -> str:
    tag = match[1]
    if not re.search("[A-Za-z]", tag):
        return match[0]
    return _CAPITALS.sub(r" \g<0>", tag).strip().lower()


_APPLY: dict[Rule, Callable[[str], str]] = {
    "characters": lambda text: text.translate(_CHARACTERS),
    "users": lambda text: _USER.sub("@usuario", text),
    "urls": lambda text: _URL.sub("url", text),
    "repeats": lambda text: _REPEATED.sub(r"\1\1\1", text),
    "emoji": replace_emoji,
    "laughter": lambda text: _LAUGHTER.sub(_laugh, text),
    "hashtags": lambda text: _HASHTAG.sub(_split_words, text),
}
