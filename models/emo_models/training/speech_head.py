"""Linear emotion head on speaker-adapted embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from emo_models.data.speakers import (
    RANDOM_PROFILE,
    Floats,
    Ints,
    Profile,
    Utterances,
    adapted,
    balanced_weights,
    population_mean,
)
from emo_models.recipes import SpeechRecipe
from emo_runtime.adaptation import SpeakerAdaptation


@dataclass(frozen=True, eq=False)
class LinearHead:
    """``logits = adapted embedding @ weight + bias``.

    Attributes:
        weight: [width, labels].
        bias: [labels].
        adaptation: Population mean and its weight.
    """

    weight: Floats
    bias: Floats
    adaptation: SpeakerAdaptation

    def logits(
        self, embedding: Floats, utterances: Utterances, profile: Profile, seed: int
    ) -> Floats:
        """Return logits [clips, labels] with profiles drawn from the speakers' other clips."""
        rng = np.random.default_rng(seed)
        rows = adapted(embedding, utterances, self.adaptation, profile, rng)
        logits: Floats = rows @ self.weight + self.bias
        return logits


def train_head(
    embeddings: Sequence[Floats], utterances: Utterances, recipe: SpeechRecipe
) -> LinearHead:
    """Train a head on the same clips under several recording conditions.

    Each embedding is adapted with a random profile of its speaker under the same condition.

    Args:
        embeddings: [clips, width] for each condition.
        utterances: The clips.
        recipe: Hyper-parameters.
    """
    rng = np.random.default_rng(recipe.seed)
    mean = np.mean([population_mean(part, utterances) for part in embeddings], axis=0)
    adaptation = SpeakerAdaptation(mean.astype(np.float64), recipe.adaptation_weight, "")
    rows = np.concatenate(
        [adapted(part, utterances, adaptation, RANDOM_PROFILE, rng) for part in embeddings]
    )
    scale = rows.std(0) + 1e-6
    weights = balanced_weights(utterances.label, utterances.corpus, recipe.balance_power)
    matrix, bias = minimize(
        rows / scale,
        np.concatenate([utterances.targets] * len(embeddings)),
        np.tile(weights / len(embeddings), len(embeddings)),
        classes=len(utterances.labels),
        l2=recipe.l2,
        label_smoothing=recipe.label_smoothing,
    )
    return LinearHead((matrix / scale[:, None]).astype(np.float32), bias, adaptation)


def minimize(
    rows: Floats,
    targets: Floats | Ints,
    weight: NDArray[np.float64],
    *,
    classes: int,
    l2: float,
    label_smoothing: float = 0.0,
) -> tuple[Floats, Floats]:
    """Return the matrix [width, classes] and bias of the least weighted cross entropy.

    ``targets`` are class numbers [rows] or probabilities [rows, classes]. ``l2`` times the sum of
    the matrix's squares is added to it. L-BFGS from zero.
    """
    features, target = torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(targets)
    share = torch.from_numpy(weight).float()
    matrix = torch.zeros(rows.shape[1], classes, requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([matrix, bias], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = functional.cross_entropy(
            features @ matrix + bias, target, reduction="none", label_smoothing=label_smoothing
        )
        loss = (losses * share).sum() + l2 * matrix.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return matrix.detach().numpy(), bias.detach().numpy()
