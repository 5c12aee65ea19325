"""The forms in which speech recognizers write; numbers as the Real Academia spells them."""

import pytest

from studies.asr_text import FORMS, spell


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "cero"),
        (16, "dieciséis"),
        (29, "veintinueve"),
        (31, "treinta y uno"),
        (100, "cien"),
        (101, "ciento uno"),
        (500, "quinientos"),
        (1_000, "mil"),
        (1_984, "mil novecientos ochenta y cuatro"),
        (21_000, "veintiún mil"),
        (31_021, "treinta y un mil veintiuno"),
        (100_001, "cien mil uno"),
        (999_999, "novecientos noventa y nueve mil novecientos noventa y nueve"),
    ],
)
def test_numbers_are_spelled(number, words):
    assert spell(number) == words


def test_forms():
    text = "¡Debo 1.250 € al Sr. Núñez, y él 007!"
    assert {name: change(text) for name, change in FORMS.items()} == {
        "as written": text,
        "lower case": "¡debo 1.250 € al sr. núñez, y él 007!",
        "without punctuation": "Debo 1 250 al Sr Núñez y él 007",
        "numbers as words": (
            "¡Debo mil doscientos cincuenta € al Sr. Núñez, y él cero cero siete !"
        ),
        "lower case, no punctuation": "debo 1 250 al sr núñez y él 007",
        "the same, numbers as words": (
            "debo mil doscientos cincuenta al sr núñez y él cero cero siete"
        ),
        "the same, no accents": "debo mil doscientos cincuenta al sr nunez y el cero cero siete",
        "upper case": "¡DEBO 1.250 € AL SR. NÚÑEZ, Y ÉL 007!",
    }
