"""What transcripts without case, punctuation, accents or digits do to the answers of bundles.

python -m studies.asr_text DATA [--bundle NAME ...] [--rows N]

DATA holds emospeech/ and xed/, as the training recipes read them. Each text of EmoSPeech's official
test set and of the rows of XED-es that no recipe trains on is answered as written, and in the forms
in which speech recognizers write. For each form: macro-F1 against the labels of the corpus, and the
share of texts whose label is that of the written text.
"""

import argparse
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from emo_models.data.corpora import Row
from emo_models.data.text_augmentation import as_recognized, without_accents
from emo_models.evaluation.leave_one_corpus_out import present_macro_f1
from emo_runtime import EmotionRecognizer
from studies.shipped_models import BUNDLES, text_sets

_ONES = [
    "cero",
    "uno",
    "dos",
    "tres",
    "cuatro",
    "cinco",
    "seis",
    "siete",
    "ocho",
    "nueve",
    "diez",
    "once",
    "doce",
    "trece",
    "catorce",
    "quince",
    "dieciséis",
    "diecisiete",
    "dieciocho",
    "diecinueve",
    "veinte",
    "veintiuno",
    "veintidós",
    "veintitrés",
    "veinticuatro",
    "veinticinco",
    "veintiséis",
    "veintisiete",
    "veintiocho",
    "veintinueve",
]
_TENS = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
_HUNDREDS = [
    "ciento",
    "doscientos",
    "trescientos",
    "cuatrocientos",
    "quinientos",
    "seiscientos",
    "setecientos",
    "ochocientos",
    "novecientos",
]
_GROUPED = re.compile(r"\b\d{1,3}(?:\.\d{3})+\b")
_INTEGER = re.compile(r"\d+")
_MAX_SPELLED = 999_999


def spell(number: int) -> str:
    """Return a number from 0 to 999,999 in Spanish words.

    >>> spell(21), spell(100), spell(1_542)
    ('veintiuno', 'cien', 'mil quinientos cuarenta y dos')
    """
    if number >= 1000:
        thousands, rest = divmod(number, 1000)
        first = "mil" if thousands == 1 else f"{_before_noun(spell(thousands))} mil"
        return first if not rest else f"{first} {spell(rest)}"
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        if number == 100:
            return "cien"
        return _HUNDREDS[hundreds - 1] + (f" {spell(rest)}" if rest else "")
    if number < 30:
        return _ONES[number]
    tens, rest = divmod(number, 10)
    return _TENS[tens - 3] + (f" y {_ONES[rest]}" if rest else "")


def spell_numbers(text: str) -> str:
    """Return the text with its whole numbers as words; longer ones are read digit by digit."""
    text = _GROUPED.sub(lambda match: match[0].replace(".", ""), text)
    return _INTEGER.sub(lambda match: f" {_words(match[0])} ", text)


def without_punctuation(text: str) -> str:
    """Return the text with a space in place of each character that is no letter and no digit."""
    kept = (c if c.isalnum() or unicodedata.combining(c) else " " for c in text)
    return " ".join("".join(kept).split())


FORMS: dict[str, Callable[[str], str]] = {
    "as written": str,
    "lower case": str.lower,
    "without punctuation": without_punctuation,
    "numbers as words": lambda text: " ".join(spell_numbers(text).split()),
    "lower case, no punctuation": as_recognized,
    "the same, numbers as words": lambda text: as_recognized(spell_numbers(text)),
    "the same, no accents": lambda text: without_accents(as_recognized(spell_numbers(text))),
    "upper case": str.upper,
}


def figures(recognizer: EmotionRecognizer, rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Return macro-F1 and the share of unchanged labels of each form."""
    labels = recognizer.labels
    targets = np.array([labels.index(row.label) for row in rows])
    found: dict[str, tuple[float, float]] = {}
    written: np.ndarray[tuple[int], np.dtype[np.intp]] | None = None
    for name, change in FORMS.items():
        # A text of punctuation alone has nothing left: it stays as written.
        texts = [change(row.text or "") or (row.text or "") for row in rows]
        answers = [recognizer.recognize(text, task="text").label for text in texts]
        predicted = np.array([labels.index(label) for label in answers])
        written = predicted if written is None else written
        score = present_macro_f1(targets, predicted, len(labels))
        found[name] = (score, float(np.mean(predicted == written)))
    return found


def main() -> None:
    """Print one Markdown table for each bundle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", action="append", help="name or directory; default: all three")
    parser.add_argument("--rows", type=int, help="at most so many rows of each set")
    options = parser.parse_args()
    sets = text_sets(options.data)
    names = ("emospeech test", "xed-es held out")
    for bundle in options.bundle or BUNDLES:
        with EmotionRecognizer.open(bundle) as recognizer:
            results = [figures(recognizer, sets[name][: options.rows]) for name in names]
        print(f"\n| {bundle} | {names[0]}: macro-F1, same label | {names[1]}: the same |")
        print("|---|---|---|")
        for form in FORMS:
            cells = [f"{result[form][0]:.3f}, {result[form][1]:.1%}" for result in results]
            print(f"| {form} | {cells[0]} | {cells[1]} |", flush=True)


def _words(digits: str) -> str:
    number = int(digits)
    if number <= _MAX_SPELLED and (digits == "0" or not digits.startswith("0")):
        return spell(number)
    return " ".join(_ONES[int(digit)] for digit in digits)


def _before_noun(words: str) -> str:
    """Return a number in front of a noun: veintiún, treinta y un."""
    if words.endswith("veintiuno"):
        return f"{words.removesuffix('veintiuno')}veintiún"
    return f"{words.removesuffix('uno')}un" if words.endswith("uno") else words


if __name__ == "__main__":
    main()
