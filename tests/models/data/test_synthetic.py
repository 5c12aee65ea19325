import csv
import re
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pytest

from emo_models.data.synthetic import (
    COUNTS,
    DIRECTORY,
    Sentence,
    expand,
    overlap,
    read_slots,
    read_templates,
    synthetic_sentences,
    tidy,
    words,
)
from emo_models.errors import DataError

VISITOR = Path(__file__).parents[2] / "data" / "visitor_sentences.csv"
SMALL = {"fear": 60, "neutral": 90}


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    return synthetic_sentences()


@pytest.fixture(scope="module")
def visitor() -> list[str]:
    with VISITOR.open(encoding="utf-8", newline="") as stream:
        return [row["text"] for row in csv.DictReader(stream)]


def test_counts_are_reached_with_distinct_sentences(sentences: list[Sentence]) -> None:
    assert Counter(row.label for row in sentences) == dict(COUNTS)
    for label in COUNTS:
        texts = [row.text for row in sentences if row.label == label]
        assert len(set(texts)) == len(texts)


def test_same_seed_gives_the_same_sentences() -> None:
    assert synthetic_sentences(SMALL, seed=3) == synthetic_sentences(SMALL, seed=3)
    assert synthetic_sentences(SMALL, seed=3) != synthetic_sentences(SMALL, seed=4)


def test_labels_are_independent_of_each_other() -> None:
    alone = synthetic_sentences({"fear": 60}, seed=3)
    assert [row for row in synthetic_sentences(SMALL, seed=3) if row.label == "fear"] == alone


def test_no_sentence_is_close_to_one_of_the_evaluation_set(
    sentences: list[Sentence], visitor: list[str]
) -> None:
    assert len(visitor) == 50
    held_out = [(words(text), text) for text in visitor]
    close = [
        (row.text, text)
        for row in sentences
        if (own := words(row.text))
        for other, text in held_out
        if overlap(own, other) >= 0.8 or 5 * len(own & other) >= 4 * max(len(own), len(other))
    ]
    assert not close


def test_overlap_sees_a_changed_evaluation_sentence(visitor: list[str]) -> None:
    for text in visitor:
        changed = text.upper().replace("Ó", "O").rstrip(".") + " ya"
        assert SequenceMatcher(None, text.lower(), changed.lower()).ratio() > 0.7
        assert overlap(words(text), words(changed)) >= 0.8


def test_excluded_sentences_are_not_generated() -> None:
    wanted = synthetic_sentences(SMALL)[0]
    rest = synthetic_sentences(SMALL, exclude=[wanted.text])
    assert wanted not in rest
    assert all(overlap(words(row.text), words(wanted.text)) <= 0.6 for row in rest)


def test_sentences_are_well_formed(sentences: list[Sentence]) -> None:
    wrong = [
        row.text
        for row in sentences
        if re.search(r"[\[\]{}|]|  | [,.?!]|,[.?!]|\b(a|de) el\b", row.text)
        or row.text[-1] not in ".?!"
        or row.text.count("¿") != row.text.count("?")
        or row.text.count("¡") != row.text.count("!")
        or not re.match(r"[¿¡]?[A-ZÁÉÍÓÚÑ]", row.text)
    ]
    assert not wrong


def test_every_list_and_every_template_file_is_used() -> None:
    slots = read_slots(DIRECTORY / "slots.txt")
    text = "\n".join(
        "\n".join(read_templates(DIRECTORY / f"{label}.txt", slots)) for label in COUNTS
    )
    assert set(re.findall(r"\{(\w+)\}", text)) == set(slots)
    assert {path.stem for path in DIRECTORY.glob("*.txt")} == {*COUNTS, "slots"}


def test_article_agrees_with_the_lists_that_follow_it() -> None:
    slots = read_slots(DIRECTORY / "slots.txt")
    feminine = re.compile(r"\w+(ora|era|eta|ada)\b")
    assert not [word for word in slots["product"] + slots["document"] if feminine.search(word)]
    assert all(word.startswith("la ") for word in slots["food_f"] + slots["place_f"])
    assert all(word.startswith("el ") for word in slots["place_m"])


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("voy a el banco de el barrio", "Voy al banco del barrio."),
        ("qué bien, nos vemos !", "¡Qué bien, nos vemos!"),
        ("hola. dónde está?", "Hola. ¿Dónde está?"),
        ("¿y si vuelve", "¿Y si vuelve?"),
        (", te extraño,.", "Te extraño."),
    ],
)
def test_tidy(raw: str, expected: str) -> None:
    assert tidy(raw) == expected


def test_expand_uses_every_alternative_and_word() -> None:
    rng = np.random.default_rng(0)
    found = {expand("[uno|dos|] {x}", {"x": ["a", "b"]}, rng) for _ in range(200)}
    assert found == {"Uno a.", "Uno b.", "Dos a.", "Dos b.", "A.", "B."}


@pytest.mark.parametrize(
    ("line", "message"),
    [("hola {nadie}", "nadie"), ("[a|[b|c]]", "nested"), ("# only a comment", "no templates")],
)
def test_a_wrong_template_is_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "joy.txt"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_templates(path, {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"slots\.txt"):
        synthetic_sentences({"joy": 1}, directory=tmp_path)
