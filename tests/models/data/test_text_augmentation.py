import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_models.data.text_augmentation import as_recognized, augment, text_key, without_accents
from emo_models.mixture_recipe import TextAugmentation

NONE = dict.fromkeys(TextAugmentation.__struct_fields__, 0.0)
TEXT = "¿Qué pasó, señor Núñez? ¡No me lo creo!"


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("recognizer", "qué pasó señor núñez no me lo creo"),
        ("no_opening_marks", "Qué pasó, señor Núñez? No me lo creo!"),
        ("no_accents", "¿Que paso, senor Nunez? ¡No me lo creo!"),
        ("lower", "¿qué pasó, señor núñez? ¡no me lo creo!"),
        ("no_final_mark", "¿Qué pasó, señor Núñez? ¡No me lo creo"),
    ],
)
def test_each_change(kind: str, wanted: str) -> None:
    shares = TextAugmentation(**{**NONE, kind: 1.0})
    assert augment(TEXT, shares, np.random.default_rng(0)) == wanted
    assert augment(TEXT, TextAugmentation(**NONE), np.random.default_rng(0)) == TEXT


def test_shares_are_those_of_the_recipe() -> None:
    shares = TextAugmentation(**{**NONE, "lower": 0.3})
    rng = np.random.default_rng(0)
    changed = sum(augment("Hola", shares, rng) == "hola" for _ in range(2000))
    assert 0.25 < changed / 2000 < 0.35


@given(st.text(min_size=1), st.integers(0, 100))
def test_a_text_never_becomes_empty(text: str, seed: int) -> None:
    everything = TextAugmentation(**dict.fromkeys(NONE, 1.0))
    assert augment(text, everything, np.random.default_rng(seed))


@given(st.text(alphabet="aáñÑé¿?¡!., üZ\u0301"))
def test_the_key_ignores_normalization_case_and_accents(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert text_key(unicodedata.normalize(form, text)) == text_key(text)
    assert text_key(text.upper()) == text_key(text)
    assert text_key(without_accents(text)) == text_key(text)
    assert text_key(as_recognized(text)) == text_key(text)
