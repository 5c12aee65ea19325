"""Resumable training loop of both tasks, with model selection by a validation score."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emo_models.atomic import atomic_write
from emo_models.errors import DataError
from emo_models.evaluation.metrics import Ints, macro_f1
from emo_models.evaluation.report import without_fear
from emo_models.modeling.inference import device


@dataclass
class History:
    """Loss and validation score of every epoch so far, and the best epoch (counted from 1)."""

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_epoch: int = 0

    @property
    def best_score(self) -> float:
        """Validation score of the best epoch."""
        return self.scores[self.best_epoch - 1] if self.best_epoch else float("-inf")


def train_epochs(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    seed: int,
    run_epoch: Callable[[int], float],
    validate: Callable[[], float],
    keep_last: bool = False,
    state_path: Path | None = None,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[History], None] = lambda _: None,
) -> History:
    """Train to the end, resuming from ``state_path`` if it exists, and load the best epoch.

    Every epoch seeds the generators from (seed, epoch), so that a resumed run draws the same
    random numbers as an uninterrupted one.

    Args:
        network: network, trained in place.
        optimizer: optimizer of the network's parameters.
        epochs: total number of epochs.
        seed: seed of all random numbers in an epoch.
        run_epoch: trains one epoch, by number from 0, and returns its mean loss.
        validate: returns the score that selects the best epoch (higher is better).
        keep_last: load the last epoch, not the best.
        state_path: file of the state, written atomically after each epoch.
        identity: recipe and data; a state is resumed only if its identity is equal.
        on_epoch: called after each epoch, and once for a resumed state.

    Raises:
        DataError: the state belongs to another recipe or other data.
    """
    history, best = _resume(network, optimizer, state_path, identity)
    if history.losses:
        on_epoch(history)
    for epoch in range(len(history.losses), epochs):
        torch.manual_seed(seed * 1_000_003 + epoch)
        network.train()
        history.losses.append(run_epoch(epoch))
        network.eval()
        history.scores.append(validate())
        if keep_last or history.scores[-1] > history.best_score:
            history.best_epoch = epoch + 1
            best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        if state_path is not None:
            state = {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "history": asdict(history),
                "best": best,
                "identity": identity,
            }
            _save(state_path, state)
        on_epoch(history)
    network.load_state_dict(best)
    network.eval()
    return history


def averaged(
    states: Sequence[Mapping[str, Tensor]], shares: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """Return the mean of several networks' weights, a "soup" (Wortsman et al. 2022).

    For fine-tunings from the same initial weights, the mean is about as accurate as an ensemble, at
    the cost of one network. Integer tensors are copied from the first network.

    Args:
        states: the networks' states.
        shares: share of each in the mean, with the sum 1; None: all the same.
    """
    parts = shares or [1 / len(states)] * len(states)
    return {
        name: torch.stack([s * state[name] for s, state in zip(parts, states, strict=True)]).sum(0)
        if first.is_floating_point()
        else first
        for name, first in states[0].items()
    }


def class_weights(targets: Sequence[int], classes: int, kind: str) -> Tensor | None:
    """Return loss weights: None, inverse frequency (``balanced``) or its square root (``sqrt``).

    ``rows / (classes * count)`` as scikit-learn's "balanced"; a class without rows weighs 0.
    """
    if kind == "none":
        return None
    counts = np.bincount(np.asarray(targets), minlength=classes).astype(np.float64)
    weights = np.where(counts > 0, len(targets) / (classes * np.maximum(counts, 1)), 0.0)
    if kind == "sqrt":
        weights = np.sqrt(weights)
    return torch.tensor(weights, dtype=torch.float32)


def validation_figure(targets: Ints, predicted: Ints, labels: Sequence[str], best_by: str) -> float:
    """Return the score that selects the best epoch: macro-F1, with or without fear."""
    without = without_fear(labels) if best_by == "macro_f1_without_fear" else ()
    return macro_f1(targets, predicted, len(labels), without=without)


def check_finite(loss: float, epoch: int) -> float:
    """Return the loss of a step.

    Raises:
        DataError: the loss is infinite or not a number.
    """
    if not math.isfinite(loss):
        raise DataError(
            f"the loss became {loss} in epoch {epoch + 1}: training diverged. Lower "
            "--learning-rate, or leave --bf16 out."
        )
    return loss


def check_identity(path: Path, saved: object, wanted: object) -> None:
    """Refuse a resumable state of another run.

    Raises:
        DataError: the two differ.
    """
    if saved != wanted:
        raise DataError(
            f"{path}: belongs to a run with another recipe or other data. Give another --output, "
            "or remove that file to start again."
        )


def _save(path: Path, state: dict[str, Any]) -> None:
    atomic_write(path, lambda temporary: torch.save(state, temporary))


def _resume(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    path: Path | None,
    identity: dict[str, Any] | None,
) -> tuple[History, dict[str, Tensor]]:
    if path is None or not path.exists():
        return History(), {}
    state = torch.load(path, map_location=device(), weights_only=True)
    check_identity(path, state["identity"], identity)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return History(**state["history"]), state["best"]
