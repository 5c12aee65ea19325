"""Spanish sentences with emotion labels, generated from hand-written templates.

The templates and word lists in ``synthetic_templates/`` were written for this project (Apache-2.0).
Each line of ``synthetic_templates/<label>.txt`` is a template: ``[a|b|]`` is one of several
alternatives, which may be empty, and ``{name}`` is a word of the list ``name`` in ``slots.txt``.
Topic words such as *miedo*, *problema* or *reclamación* also occur in neutral templates, and
emotions are negated in others, so that no single word decides the label.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from emo_models.errors import DataError

DIRECTORY = Path(__file__).parent / "synthetic_templates"
COUNTS: Mapping[str, int] = MappingProxyType(
    {
        "anger": 1100,
        "disgust": 1200,
        "fear": 1300,
        "joy": 1100,
        "neutral": 4200,
        "sadness": 1100,
    }
)

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")
_ATTEMPTS = 40


@dataclass(frozen=True)
class Sentence:
    """A generated sentence and its label."""

    label: str
    text: str


def synthetic_sentences(
    counts: Mapping[str, int] = COUNTS,
    *,
    seed: int = 0,
    directory: Path = DIRECTORY,
    exclude: Sequence[str] = (),
    largest_overlap: float = 0.6,
) -> list[Sentence]:
    """Return distinct sentences, ``counts[label]`` of each label or as many as can be made.

    The templates of a label are used equally often. The same arguments give the same sentences.

    Args:
        counts: number of sentences by label.
        seed: seed of the random choices.
        directory: folder with ``slots.txt`` and one file of templates for each label.
        exclude: sentences of an evaluation set; results that are too similar to one are dropped.
        largest_overlap: largest allowed ``overlap`` with an excluded sentence.

    Raises:
        DataError: a file of templates is missing, or a template has an unknown list.
    """
    slots = read_slots(directory / "slots.txt")
    kept_out = [words(text) for text in exclude]
    result: list[Sentence] = []
    for label, count in counts.items():
        templates = read_templates(directory / f"{label}.txt", slots)
        rng = np.random.default_rng([seed, *label.encode()])
        seen: set[str] = set()
        for number in range(count * _ATTEMPTS):
            if len(seen) == count:
                break
            text = expand(templates[number % len(templates)], slots, rng)
            own = words(text)
            if text in seen or any(overlap(own, other) > largest_overlap for other in kept_out):
                continue
            seen.add(text)
            result.append(Sentence(label, text))
    return result


def read_slots(path: Path) -> dict[str, list[str]]:
    """Return word lists by name from lines ``name: word | word``."""
    pairs = (line.split(":", 1) for line in _lines(path))
    return {name.strip(): [value.strip() for value in rest.split("|")] for name, rest in pairs}


def read_templates(path: Path, slots: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the templates of a file, without comments and empty lines.

    Raises:
        DataError: no template, an unknown list, or a bracket without its partner.
    """
    templates = list(_lines(path))
    for template in templates:
        if unknown := sorted(set(_SLOT.findall(template)) - set(slots)):
            raise DataError(
                f"{path}: no list {', '.join(unknown)} in slots.txt, used in: {template}"
            )
        if any(mark in _SLOT.sub("", _CHOICE.sub("", template)) for mark in "[]{}"):
            raise DataError(f"{path}: unbalanced or nested brackets in: {template}")
    if not templates:
        raise DataError(f"{path}: no templates. Write one per line.")
    return templates


def expand(template: str, slots: Mapping[str, Sequence[str]], rng: np.random.Generator) -> str:
    """Return one sentence of a template, with normalized spaces, capital letter and final mark."""

    def choose(match: re.Match[str]) -> str:
        options = match.group(1).split("|")
        return options[int(rng.integers(len(options)))]

    def fill(match: re.Match[str]) -> str:
        options = slots[match.group(1)]
        return options[int(rng.integers(len(options)))]

    return tidy(_SLOT.sub(fill, _CHOICE.sub(choose, template)))


def tidy(text: str) -> str:
    """Normalize spaces, contractions, paired marks, the first letter and the final mark."""
    text = re.sub(r"\s+", " ", text).strip(" ,")
    text = re.sub(r" ([,.?!])", r"\1", text)
    text = re.sub(r",+(?=[.?!])", "", text)
    text = re.sub(r"\ba el\b", "al", text)
    text = re.sub(r"\bde el\b", "del", text)
    text = re.sub(r"([?!])\.$", r"\1", text)
    for opening, closing in ("¿?", "¡!"):
        if closing in text and opening not in text:
            start = text.rfind(". ", 0, text.index(closing))
            at = start + 2 if start >= 0 else 0
            text = f"{text[:at]}{opening}{text[at:]}"
        if opening in text and closing not in text:
            text = f"{text.rstrip('.')}{closing}"
    if text[-1] not in ".?!":
        text += "."
    first = re.search(r"[^\W\d_]", text)
    at = first.start() if first else 0
    text = text[:at] + text[at].upper() + text[at + 1 :]
    return re.sub(r"([.?!] [¿¡]?)(\w)", lambda m: m.group(1) + m.group(2).upper(), text)


def words(text: str) -> frozenset[str]:
    """Return the words of a text, in lower case and without accents."""
    plain = unicodedata.normalize("NFD", text.lower())
    return frozenset(
        _WORD.findall("".join(char for char in plain if not unicodedata.combining(char)))
    )


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the Dice coefficient of two sets of words: 1 if they are equal."""
    total = len(one) + len(other)
    return 2 * len(one & other) / total if total else 1.0


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}.") from None
    yield from _without_comments(text.splitlines())


def _without_comments(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if line.strip() and not line.startswith("#"):
            yield line.strip()
