import csv
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from emo_models.data.mixture import examples, fold_of, read_mixture
from emo_models.data.written import written_sentences
from emo_models.errors import DataError
from emo_models.mixture_recipe import MixtureRecipe, SoftLabels, Source

WORDS = ("uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho")


def table(path: Path, rows: Iterable[Iterable[str]], columns: tuple[str, ...]) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    return str(path)


def corpus(path: Path, name: str, count: int = 40) -> str:
    rows = [(f"{name} {WORDS[i % 8]} {i}", ("joy", "anger")[i % 2], f"v{i % 7}")
            for i in range(count)]  # fmt: skip
    return table(path, rows, ("text", "label", "video"))


def test_folds_keep_groups_together_and_never_change(tmp_path: Path) -> None:
    path = corpus(tmp_path / "a.csv", "a")
    source = Source(path=path, group_column="video", folds=4, validation_folds=(1,),
                    test_folds=(0, 2))  # fmt: skip
    mixture = read_mixture(MixtureRecipe(sources={"a": source}))
    parts = (mixture.train["a"], mixture.validation["a"], mixture.tests["a_test"])
    groups = [{row.group for row in part} for part in parts]
    assert sum(map(len, parts)) == 40
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    for fold, part in zip(((3,), (1,), (0, 2)), groups, strict=True):
        assert all(int(sha256(g.encode()).hexdigest()[:16], 16) % 4 in fold for g in part)


def test_rows_without_groups_are_split_by_their_words() -> None:
    assert fold_of("hola que tal", 10) == fold_of("hola que tal", 10)
    counts = [0] * 5
    for number in range(2000):
        counts[fold_of(f"text {number}", 5)] += 1
    assert all(330 < count < 470 for count in counts)


def test_held_out_texts_are_not_trained_on(tmp_path: Path) -> None:
    train = table(
        tmp_path / "train.csv",
        [
            ("a", "¡Qué alegría!", "joy"),
            ("b", "Nadie me llamó ayer", "anger"),
            ("c", "que pena", "anger"),
            ("d", "Buenas tardes", "joy"),
            ("e", "Hasta luego", "anger"),
        ],
        ("id", "text", "label"),
    )
    decomposed = "que\u0301 alegri\u0301a"
    test = table(tmp_path / "test.csv", [(decomposed, "joy"), ("Qué pena...", "anger")],
                 ("text", "label"))  # fmt: skip
    excluded = table(tmp_path / "out.csv", [("d", "otro texto")], ("id", "text"))
    recipe = MixtureRecipe(sources={"s": Source(path=train)}, tests={"t": test},
                           exclude=(excluded,))  # fmt: skip
    mixture = read_mixture(recipe)
    assert [row.id for row in mixture.train["s"]] == ["b", "e"]
    assert mixture.notes == ("s: 3 training rows are left out: their id or text is held out.",)
    assert [row.text for row in mixture.tests["t"]] == [decomposed, "Qué pena..."]


def test_validation_rows_of_one_source_are_not_trained_on_in_another(tmp_path: Path) -> None:
    one = corpus(tmp_path / "one.csv", "a")
    two = corpus(tmp_path / "two.csv", "a", 60)
    recipe = MixtureRecipe(
        sources={"one": Source(path=one, folds=2, validation_folds=(1,)), "two": Source(path=two)}
    )
    mixture = read_mixture(recipe)
    held = {row.text for row in mixture.validation["one"]}
    assert held
    assert not held & {row.text for rows in mixture.train.values() for row in rows}
    assert len(mixture.train["two"]) == 60 - len(held)


def test_splits_by_a_column(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.csv",
        [("uno", "joy", "train"), ("dos", "anger", "train"), ("tres", "joy", "dev"),
         ("cuatro", "joy", "test")],
        ("text", "label", "split"),
    )  # fmt: skip
    source = Source(path=path, train_split="train", validation_split="dev")
    mixture = read_mixture(MixtureRecipe(sources={"a": source}))
    assert [row.text for row in mixture.train["a"]] == ["uno", "dos"]
    assert [row.text for row in mixture.validation["a"]] == ["tres"]
    without = corpus(tmp_path / "b.csv", "b")
    source = Source(path=without, train_split="train", validation_split="dev")
    with pytest.raises(DataError, match="has no column 'split'"):
        read_mixture(MixtureRecipe(sources={"b": source}))


def test_columns_labels_and_marks_of_a_table(tmp_path: Path) -> None:
    rows = [("- ¡Basta! -", "Enojo"), ("Genial", "alegria"), ("--", "x"), ("", "y")]
    path = table(tmp_path / "a.csv", rows, ("frase", "clase"))
    source = Source(path=path, text_column="frase", label_column="clase", strip=" -",
                    label_map={"enojo": "anger", "alegría": "joy"})  # fmt: skip
    mixture = read_mixture(MixtureRecipe(sources={"a": source}))
    assert [(row.text, row.label) for row in mixture.train["a"]] == [
        ("¡Basta!", "anger"),
        ("Genial", "joy"),
    ]
    assert mixture.labels == ("anger", "joy")


def test_synthetic_sentences_avoid_the_excluded_ones(tmp_path: Path) -> None:
    plain = read_mixture(MixtureRecipe(sources={"s": Source(builtin="synthetic")}))
    known = plain.train["s"][0].text or ""
    path = table(tmp_path / "out.csv", [(known,)], ("text",))
    recipe = MixtureRecipe(sources={"s": Source(builtin="synthetic")}, exclude=(path,))
    assert known not in {row.text for row in read_mixture(recipe).train["s"]}


def test_written_sentences() -> None:
    source = Source(builtin="written", validation_folds=(0,))
    mixture = read_mixture(MixtureRecipe(sources={"own": source}))
    found = {row.text for part in (mixture.train, mixture.validation) for row in part["own"]}
    assert found == {row.text for row in written_sentences()}


def test_soft_labels_of_rows_and_of_a_teacher(tmp_path: Path) -> None:
    rows = [("hola  amigo", "joy", "", ""), ("basta ya", "anger", "0.9", "0.1"),
            ("nada", "joy", "", "")]  # fmt: skip
    path = table(tmp_path / "a.csv", rows, ("text", "label", "score_anger", "score_joy"))
    teacher = table(tmp_path / "t.csv", [("hola amigo", "0.25", "0.75")],
                    ("text", "score_anger", "score_joy"))  # fmt: skip
    recipe = MixtureRecipe(sources={"a": Source(path=path)}, soft=SoftLabels(tables=(teacher,)))
    found = examples(read_mixture(recipe), recipe)
    assert [example.label for example in found] == [1, 0, 1]
    assert found[0].soft == pytest.approx((0.25, 0.75))
    assert found[1].soft == pytest.approx((0.9, 0.1))
    assert found[2].soft == ()
    recipe = MixtureRecipe(sources={"a": Source(path=path)}, soft=SoftLabels(tables=(
        corpus(tmp_path / "c.csv", "c"),)))  # fmt: skip
    with pytest.raises(DataError, match="has no columns score_LABEL"):
        examples(read_mixture(recipe), recipe)


def test_a_table_without_texts(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [("uno", "joy")], ("frase", "label"))
    with pytest.raises(DataError, match="Name its column in text_column"):
        read_mixture(MixtureRecipe(sources={"a": Source(path=path)}))


def test_unusable_mixtures(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", [("uno", "joy"), ("dos", "joy")], ("text", "label"))
    recipe = MixtureRecipe(sources={"a": Source(path=path)})
    with pytest.raises(DataError, match="two or more"):
        examples(read_mixture(recipe), recipe)
    with pytest.raises(DataError, match="no training row is left"):
        read_mixture(MixtureRecipe(sources={"a": Source(path=path)}, tests={"t": path}))
    recipe = MixtureRecipe(sources={"a": Source(path=path)}, labels=("anger", "fear"))
    with pytest.raises(DataError, match="row 1: unknown label 'joy'"):
        examples(read_mixture(recipe), recipe)
