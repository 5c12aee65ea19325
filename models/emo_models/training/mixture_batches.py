"""Batches of a mixture: which rows an epoch has, how their texts are changed and batched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_models.data.mixture import Example, label_counts
from emo_models.data.text_augmentation import augment
from emo_models.mixture_recipe import MixtureRecipe
from emo_models.modeling.inference import token_ids
from emo_runtime.text.preparation import prepare

_BUCKET = 1024  # rows that are sorted by length before they are batched


@dataclass(frozen=True)
class Batch:
    """Rows of one step: their numbers in the training rows, and their token ids."""

    rows: list[int]
    ids: list[list[int]]


def epoch_batches(
    tokenizer: Any,
    rows: Sequence[Example],
    labels: Sequence[str],
    recipe: MixtureRecipe,
    epoch: int,
) -> list[Batch]:
    """Return the batches of an epoch; the same arguments give the same batches."""
    rng = np.random.default_rng([recipe.seed, epoch])
    chosen = epoch_rows(rows, labels, recipe, epoch)
    texts = [augment(text, recipe.augmentation, rng) for text in joined(rows, chosen, recipe, rng)]
    texts = [prepare(text, recipe.preparation) for text in texts]
    ids = [
        _mask(row, recipe.token_masking, tokenizer.mask_token_id, rng)
        for row in token_ids(tokenizer, texts, recipe.max_tokens)
    ]
    batches = list(_batches([len(row) for row in ids], recipe, rng))
    return [
        Batch([chosen[i] for i in batches[number]], [ids[i] for i in batches[number]])
        for number in rng.permutation(len(batches))
    ]


def epoch_rows(
    rows: Sequence[Example], labels: Sequence[str], recipe: MixtureRecipe, epoch: int
) -> list[int]:
    """Return the rows of an epoch: of each source and label at most its cap, in rotation."""
    groups = _by_source_and_label(rows, range(len(rows)))
    chosen: list[int] = []
    for (source, label), members in sorted(groups.items()):
        rng = np.random.default_rng([recipe.seed, label, len(members)])
        order = rng.permutation(members)
        count = min(recipe.sources[source].limit(labels[label]), len(order))
        chosen.extend(int(i) for i in np.roll(order, -count * epoch)[:count])
    return chosen


def joined(
    rows: Sequence[Example],
    chosen: Sequence[int],
    recipe: MixtureRecipe,
    rng: np.random.Generator,
) -> list[str]:
    """Return the texts of the chosen rows, some followed by others of their source and label."""
    groups = _by_source_and_label(rows, chosen)
    texts = []
    for i in chosen:
        parts = [rows[i].text]
        if rng.random() < recipe.sources[rows[i].source].join:
            others = groups[rows[i].source, rows[i].label]
            picked = rng.integers(len(others), size=int(rng.integers(1, 4)))
            parts += [rows[others[number]].text for number in picked]
        texts.append(" ".join(parts))
    return texts


def class_weights(
    rows: Sequence[Example], labels: Sequence[str], recipe: MixtureRecipe
) -> NDArray[np.float64]:
    """Return the weight of each class: its inverse frequency to the power of the recipe.

    Rows count with the weight of their source and up to its cap; the mean weight over them is 1.
    """
    counts = np.zeros(len(labels))
    for (source, label), number in label_counts(rows).items():
        own = recipe.sources[source]
        counts[label] += own.weight * min(number, own.limit(labels[label]))
    weights = np.maximum(counts, 1.0) ** -recipe.class_weight_power
    normalized: NDArray[np.float64] = weights * counts.sum() / (weights * counts).sum()
    return normalized


def targets(
    rows: Sequence[Example], weights: NDArray[np.float64], recipe: MixtureRecipe
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return target probabilities [rows, classes] and the weights [rows] in the loss."""
    result = np.zeros((len(rows), len(weights)), np.float32)
    scale = np.empty(len(rows), np.float32)
    for number, row in enumerate(rows):
        own = recipe.sources[row.source]
        result[number] = own.smoothing / len(weights)
        result[number, row.label] += 1 - own.smoothing
        if row.soft:
            share = np.float32(recipe.soft.share)
            result[number] = (1 - share) * result[number] + share * np.asarray(row.soft, np.float32)
        scale[number] = own.weight * weights[row.label]
    return result, scale


def _by_source_and_label(
    rows: Sequence[Example], chosen: Sequence[int]
) -> Mapping[tuple[str, int], list[int]]:
    groups: dict[tuple[str, int], list[int]] = {}
    for i in chosen:
        groups.setdefault((rows[i].source, rows[i].label), []).append(i)
    return groups


def _batches(
    lengths: Sequence[int], recipe: MixtureRecipe, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Yield batches of rows of similar length, within the limits of rows and tokens."""
    order = rng.permutation(len(lengths))
    for start in range(0, len(order), _BUCKET):
        batch: list[int] = []
        for i in sorted(order[start : start + _BUCKET], key=lambda i: lengths[i]):
            tokens = (len(batch) + 1) * lengths[i]
            if batch and (tokens > recipe.token_limit or len(batch) >= recipe.row_limit):
                yield batch
                batch = []
            batch.append(int(i))
        yield batch


def _mask(row: list[int], share: float, mask: int, rng: np.random.Generator) -> list[int]:
    hide = rng.random(len(row)) < share
    hide[0] = hide[-1] = False
    return [mask if hidden else token for token, hidden in zip(row, hide, strict=True)]
