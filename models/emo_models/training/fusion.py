"""Training of the fusion network on frozen features (Task 2; paper 4.2.5 to 4.2.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emo_models.data.fusion_data import Features
from emo_models.data.pairs import Pairs
from emo_models.modeling.fusion import AUDIO_ONLY, BOTH, TEXT_ONLY, FusionConfig, FusionNetwork
from emo_models.modeling.inference import device
from emo_models.modeling.late_fusion import LateFusionNetwork
from emo_models.recipes import FusionRecipe
from emo_models.training.loop import (
    History,
    check_finite,
    class_weights,
    train_epochs,
    validation_figure,
)

Floats = NDArray[np.float32]


def train_fusion(
    train: Features,
    validation: Features,
    recipe: FusionRecipe,
    *,
    run: Path | None = None,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[History], None] = lambda _: None,
) -> tuple[FusionNetwork, History]:
    """Train a fusion network and return the network of the best epoch, on the CPU.

    With modality dropout, the validation score is the mean over fused, audio alone and text alone.

    Args:
        train: training features.
        validation: pairs of "epoch 0" are used.
        recipe: hyper-parameters.
        run: directory of the resumable state.
        identity: identity of the data; a state of other data is not resumed.
        on_epoch: called after each epoch.
    """
    here = device()
    torch.manual_seed(recipe.seed)
    network = new_network(recipe, train)
    network.to(here)
    weights = class_weights(train.pairs(0).labels.tolist(), len(train.labels), recipe.class_weights)
    loss = nn.CrossEntropyLoss(weight=weights, label_smoothing=recipe.label_smoothing).to(here)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    audio, text = torch.from_numpy(train.audio).to(here), torch.from_numpy(train.text).to(here)

    def run_epoch(epoch: int) -> float:
        pairs = train.pairs(epoch)
        share = epoch / max(1, recipe.epochs)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _rate(share, recipe)
        order = torch.randperm(len(pairs.labels)).numpy()
        total = 0.0
        for start in range(0, len(order), recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            sound = _noisy(audio[pairs.audio[rows]], network, recipe)
            present = _present(len(rows), recipe, here)
            logits = network(sound, text[pairs.text[rows]], present)
            wanted = pairs.labels[rows] if train.soft is None else train.soft[pairs.text[rows]]
            value = loss(logits, torch.from_numpy(wanted).to(here))
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += check_finite(float(value.detach()), epoch) * len(rows)
        return total / len(pairs.labels)

    def validate() -> float:
        pairs = validation.pairs(0)
        kinds = (BOTH, AUDIO_ONLY, TEXT_ONLY) if recipe.present_input else (None,)
        return float(
            np.mean(
                [
                    validation_figure(
                        pairs.labels,
                        predict_fusion(network, validation, pairs, kind).argmax(axis=1),
                        train.labels,
                        recipe.best_by,
                    )
                    for kind in kinds
                ]
            )
        )

    history = train_epochs(
        network,
        optimizer,
        epochs=recipe.epochs,
        seed=recipe.seed,
        run_epoch=run_epoch,
        validate=validate,
        keep_last=recipe.best_by == "last",
        state_path=run / "state.pt" if run else None,
        identity={"recipe": asdict(recipe), "data": identity},
        on_epoch=on_epoch,
    )
    return network.cpu(), history


@torch.no_grad()
def predict_fusion(
    network: FusionNetwork | LateFusionNetwork,
    features: Features,
    pairs: Pairs,
    present: tuple[float, float] | None = None,
) -> Floats:
    """Return logits [pairs, labels]; ``present`` is (audio, text) for all rows."""
    network.eval()
    where = next(network.parameters()).device
    audio = torch.from_numpy(features.audio[pairs.audio]).to(where)
    text = torch.from_numpy(features.text[pairs.text]).to(where)
    there = torch.tensor([present] * len(audio), device=where) if present else None
    logits: Floats = network(audio, text, there).cpu().numpy()
    return logits


def new_network(recipe: FusionRecipe, train: Features) -> FusionNetwork:
    """Return an untrained network, standardised by the training clips.

    "global": one shift per coefficient, one scale for all. Scaling each coefficient would give the
    high ones, which are mostly noise, the same weight as the low ones.
    """
    network = FusionNetwork(
        FusionConfig(
            variant=recipe.variant,  # type: ignore[arg-type]
            n_mfcc=recipe.n_mfcc,
            audio_width=train.audio.shape[1] if train.speech else None,
            hidden=train.text.shape[1],
            fused=recipe.fused,
            dropout=recipe.dropout,
            labels=train.labels,
            present_input=recipe.present_input,
        )
    )
    if recipe.standardise == "global":
        shift = train.audio.mean(axis=0)
        network.audio_shift.copy_(torch.from_numpy(shift))
        network.audio_scale.fill_(1 / float(np.sqrt(((train.audio - shift) ** 2).mean())))
    return network


def _noisy(audio: Tensor, network: FusionNetwork, recipe: FusionRecipe) -> Tensor:
    if not recipe.audio_noise:
        return audio
    return audio + torch.randn_like(audio) * recipe.audio_noise / network.audio_scale


def _present(rows: int, recipe: FusionRecipe, where: torch.device) -> Tensor | None:
    """Return random presence flags (audio, text) [rows, 2], at least one set in each row."""
    if not recipe.present_input:
        return None
    chance = torch.rand(rows, device=where)
    audio = (chance >= recipe.drop_audio).float()
    text = (chance < 1 - recipe.drop_text).float()
    return torch.stack([audio, text], dim=1)


def _rate(share: float, recipe: FusionRecipe) -> float:
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 * (1 + float(np.cos(np.pi * share)))
