from collections import Counter

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from emo_models.data.mixture import Example
from emo_models.mixture_recipe import MixtureRecipe, SoftLabels, Source, TextAugmentation
from emo_models.training.mixture_batches import (
    class_weights,
    epoch_batches,
    epoch_rows,
    joined,
    targets,
)

LABELS = ("anger", "joy", "neutral")
PLAIN = TextAugmentation(recognizer=0, no_opening_marks=0, no_accents=0, lower=0, no_final_mark=0)


class Words:
    """A tokenizer whose ids are the numbers in the text between 1 and 2."""

    mask_token_id = 9999

    def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [[1, *map(int, text.split()), 2] for text in texts]}


def rows(counts: dict[tuple[str, int], int]) -> list[Example]:
    found = [(source, label) for (source, label), count in counts.items() for _ in range(count)]
    return [Example(f"{10 + i}", label, source) for i, (source, label) in enumerate(found)]


def test_caps_rotate_through_all_rows() -> None:
    recipe = MixtureRecipe(sources={
        "a": Source(path="a", cap=4, label_caps={"neutral": 6}), "b": Source(path="b"),
    })  # fmt: skip
    given = rows({("a", 0): 12, ("a", 2): 12, ("b", 1): 5})
    seen: Counter[int] = Counter()
    for epoch in range(3):
        chosen = epoch_rows(given, LABELS, recipe, epoch)
        assert Counter((given[i].source, given[i].label) for i in chosen) == {
            ("a", 0): 4, ("a", 2): 6, ("b", 1): 5,
        }  # fmt: skip
        seen.update(chosen)
    assert set(seen) == set(range(len(given)))  # 3 epochs of 4 of 12
    assert {seen[i] for i in range(12)} == {1}


def test_batches_hold_every_row_once_within_the_limits() -> None:
    recipe = MixtureRecipe(sources={"a": Source(path="a")}, row_limit=5, token_limit=40,
                           token_masking=0.0, augmentation=PLAIN)  # fmt: skip
    rng = np.random.default_rng(0)
    given = [
        Example(" ".join(map(str, rng.integers(10, 99, size=rng.integers(1, 12)))), 0, "a")
        for _ in range(80)
    ]
    batches = epoch_batches(Words(), given, LABELS, recipe, 0)
    assert sorted(i for batch in batches for i in batch.rows) == list(range(80))
    for batch in batches:
        assert len(batch.rows) <= 5
        assert len(batch.rows) * max(map(len, batch.ids)) <= 40
        for i, ids in zip(batch.rows, batch.ids, strict=True):
            assert ids == [1, *map(int, given[i].text.split()), 2]
    again = epoch_batches(Words(), given, LABELS, recipe, 0)
    assert again == batches
    assert epoch_batches(Words(), given, LABELS, recipe, 1) != batches


def test_masks_replace_inner_tokens_only() -> None:
    recipe = MixtureRecipe(sources={"a": Source(path="a")}, token_masking=0.5, augmentation=PLAIN)
    given = [Example("11 12 13 14 15 16", 0, "a")] * 50
    ids = [row for batch in epoch_batches(Words(), given, LABELS, recipe, 0) for row in batch.ids]
    assert {row[0] for row in ids} == {1}
    assert {row[-1] for row in ids} == {2}
    share = np.mean([token == 9999 for row in ids for token in row[1:-1]])
    assert 0.4 < share < 0.6


def test_joined_texts_have_one_source_and_label() -> None:
    recipe = MixtureRecipe(sources={"a": Source(path="a", join=1.0), "b": Source(path="b")})
    given = rows({("a", 0): 5, ("a", 1): 5, ("b", 1): 5})
    texts = joined(given, range(15), recipe, np.random.default_rng(0))
    own = {(row.source, row.label): set() for row in given}
    for row in given:
        own[row.source, row.label].add(row.text)
    for row, text in zip(given, texts, strict=True):
        first, *more = text.split()
        assert first == row.text
        assert 1 <= len(more) <= 3 if row.source == "a" else not more
        assert set(more) <= own[row.source, row.label]


def test_class_weights_are_those_of_scikit_learn() -> None:
    recipe = MixtureRecipe(sources={"a": Source(path="a")}, class_weight_power=1.0)
    given = rows({("a", 0): 30, ("a", 1): 10, ("a", 2): 5})
    found = class_weights(given, LABELS, recipe)
    labels = np.array([row.label for row in given])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(found, wanted)
    assert found[labels].mean() == pytest.approx(1)


def test_class_weights_count_caps_and_weights_of_sources() -> None:
    recipe = MixtureRecipe(
        sources={"a": Source(path="a", cap=10), "b": Source(path="b", weight=0.5)},
        class_weight_power=0.5,
    )
    found = class_weights(rows({("a", 0): 30, ("a", 1): 8, ("b", 1): 4}), LABELS, recipe)
    assert found[0] == pytest.approx(found[1])  # 10 against 8 + 0.5 * 4


def test_targets_are_smoothed_and_mixed_with_the_teacher() -> None:
    recipe = MixtureRecipe(
        sources={"a": Source(path="a", smoothing=0.3, weight=0.5)}, soft=SoftLabels(share=0.25)
    )
    given = [Example("1", 1, "a"), Example("2", 1, "a", (0.6, 0.4, 0.0))]
    found, scale = targets(given, np.array([1.0, 2.0, 3.0]), recipe)
    np.testing.assert_allclose(found[0], [0.1, 0.8, 0.1], rtol=1e-6)
    np.testing.assert_allclose(found[1], [0.225, 0.7, 0.075], rtol=1e-6)
    np.testing.assert_allclose(scale, [1.0, 1.0])
