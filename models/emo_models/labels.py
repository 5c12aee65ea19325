"""Label words of tables and models: mapping, matching, and the order of classes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from emo_models.errors import DataError

# The six emotions of EmoSPeech and MEACorpus, in the order of scikit-learn's LabelEncoder.
LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness")
SEPARATORS = "|;,/+"  # in cells that seem to have several labels


def label_key(word: str) -> str:
    """Return the normalized form of a label word: stripped, lower case, without accents."""
    letters = unicodedata.normalize("NFKD", word.strip())
    return "".join(c for c in letters if not unicodedata.combining(c)).casefold()


def parse_label_map(text: str) -> dict[str, str]:
    """Parse a text like ``enojo=anger,alegría=joy`` into ``{key of the word: label}``.

    Raises:
        DataError: an entry that is not ``word=label``, or a duplicate word.
    """
    result: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        word, equals, label = (part.strip() for part in entry.partition("="))
        if not equals or not word or not label:
            raise DataError(
                f"label map: {entry!r} is not word=label. Example: enojo=anger,alegría=joy."
            )
        if label_key(word) in result:
            raise DataError(f"label map: {word!r} is given more than once.")
        result[label_key(word)] = label
    return result


def parse_labels(text: str) -> tuple[str, ...]:
    """Parse a text like ``anger,joy,neutral`` into labels, in that order.

    Raises:
        DataError: fewer than two labels, or a duplicate label.
    """
    labels = tuple(filter(None, (part.strip() for part in text.split(","))))
    if len(labels) < 2 or len({label_key(label) for label in labels}) < len(labels):
        raise DataError(f"labels {text!r}: give two or more different ones, separated by commas.")
    return labels


def map_label(word: str, label_map: Mapping[str, str]) -> str:
    """Return the label that the map assigns to a word, else the word itself in lower case."""
    mapped = label_map.get(label_key(word))
    return unicodedata.normalize("NFC", word.strip()).lower() if mapped is None else mapped


def split_labels(cell: str, separator: str, label_map: Mapping[str, str]) -> tuple[str, ...]:
    """Return the different labels of a cell such as ``anger|sadness``, mapped and sorted."""
    words = {
        label_key(label): label
        for word in cell.split(separator)
        if word.strip()
        for label in [map_label(word, label_map)]
    }
    return tuple(words[key] for key in sorted(words))


def label_set(words: Iterable[str]) -> tuple[str, ...]:
    """Return the labels that occur, sorted; spellings with equal keys become the most frequent."""
    spellings: dict[str, Counter[str]] = {}
    for word in words:
        spellings.setdefault(label_key(word), Counter())[word] += 1
    return tuple(sorted(max(found, key=lambda w: (found[w], w)) for found in spellings.values()))


def label_index(label: str, labels: Sequence[str], *, where: str = "label") -> int:
    """Return the class number of a label word; case and accents may differ.

    Raises:
        DataError: the word is not a label; the message starts with ``where``.
    """
    keys = [label_key(known) for known in labels]
    try:
        return keys.index(label_key(label))
    except ValueError:
        several = any(mark in label for mark in SEPARATORS)
        hint = " Several labels in a cell need --label-separator." if several else ""
        raise DataError(
            f"{where}: unknown label {label!r:.60}. Expected one of: {', '.join(labels)}. "
            f"--label-map WORD=LABEL translates other words.{hint}"
        ) from None
