"""Text preparation: the examples of pysentimiento's tests, and bounds in time."""

import time
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.text.preparation import RULES, TextPreparation, prepare

EVERYTHING = TextPreparation(strip=True, lowercase=True, replace=RULES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@perezjota debería cambiar esto", "@usuario debería cambiar esto"),
        ("@a @b debería", "@usuario @usuario debería"),
        ("esto es muy bueno http://bit.ly/sarasa", "esto es muy bueno url"),
        ("bueno https://t.co/LvRc5JJxvJ", "bueno url"),
        ("visita www.ejemplo.com/a?b=1 ya", "visita url ya"),
        ("Termina aquí.Es otra frase. No.", "termina aquí.es otra frase. no."),
        ("no entiendo naaaaaaaadaaaaaaaa", "no entiendo naaadaaa"),
        ("jajajajaajjjajaajajaja no lo puedo creer ajajaj", "jaja no lo puedo creer jaja"),
        ("jaja, aja, jajaj, jajaja", "jaja, aja, jajaj, jaja"),
        ("Pero pará un poco, “loquita”", 'pero pará un poco, "loquita"'),
        ("🤣", "emoji cara revolviéndose de la risa emoji"),
        ("¡Bien!👍🏽", "¡bien! emoji pulgar hacia arriba emoji"),
        ("esto es #UnaGenialidad", "esto es una genialidad"),
        ("#1stToDie #2024", "1st to die #2024"),
    ],
)
def test_all_rules(text, expected):
    assert prepare(text, EVERYTHING) == expected


def test_each_part_alone():
    text = "  @Ana VE #EstoEs  "
    assert prepare(text, TextPreparation()) == text
    assert prepare(text, TextPreparation(strip=True)) == "@Ana VE #EstoEs"
    assert prepare(text, TextPreparation(lowercase=True)) == "  @ana ve #estoes  "
    assert prepare(text, TextPreparation(replace=("users",))) == "  @usuario VE #EstoEs  "


@pytest.mark.parametrize("preparation", [TextPreparation(), EVERYTHING])
def test_composed_and_decomposed_accents_are_equal(preparation):
    text = "¿Qué pasó mañana? ¡Qué vergüenza! 🤣"
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert prepare(decomposed, preparation) == prepare(text, preparation)


def test_the_order_of_the_rules_is_fixed():
    text = "#Jajajaja @Ana"
    rules = ("users", "laughter", "hashtags")
    assert prepare(text, TextPreparation(replace=rules)) == prepare(
        text, TextPreparation(replace=rules[::-1])
    )


def test_unknown_rules_are_refused():
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
        msgspec.convert({"replace": ["(a+)+$"]}, TextPreparation)


@given(st.text(max_size=200))
def test_any_text_is_prepared(text):
    assert isinstance(prepare(text, EVERYTHING), str)


@pytest.mark.parametrize("unit", ["a.", "a-", "ja", "@", "#A", "😀", "👩\u200d", "http://", "a"])
def test_time_is_linear(unit):
    """A ratio of two measurements of CPU time: independent of the machine and its load."""

    def seconds(count):
        text = unit * count
        best = []
        for _ in range(3):
            start = time.thread_time()
            prepare(text, EVERYTHING)
            best.append(time.thread_time() - start)
        return min(best)

    assert seconds(16_000) < 40 * seconds(2_000) + 0.05
