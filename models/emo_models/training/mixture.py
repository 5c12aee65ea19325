"""Fine-tuning of a mean-pooled BERT classifier on a mixture of corpora."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emo_models.data.mixture import Example
from emo_models.mixture_recipe import MixtureRecipe
from emo_models.modeling.fast_bert import encode
from emo_models.modeling.inference import device, padded
from emo_models.modeling.text_classifier import masked_mean
from emo_models.training.loop import History, check_finite, train_epochs
from emo_models.training.mixture_batches import Batch, class_weights, epoch_batches, targets

_AVERAGE_STEPS = 4  # steps between updates of the moving average
_WARM_AVERAGE = 10  # the average follows the network closely during about so many steps


def train_mixture(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Example],
    labels: Sequence[str],
    recipe: MixtureRecipe,
    *,
    validate: Callable[[Any], float],
    state_path: Path | None = None,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[History], None] = lambda _: None,
) -> tuple[Any, History]:
    """Fine-tune ``model`` in place; return the moving average of its weights and the history.

    Embeddings and the biases of linear layers stay as they are: their gradients cost a fifth of a
    step on a CPU.

    Args:
        model: a ``BertForMeanPooledClassification`` that ``check_supported`` accepts.
        tokenizer: its fast transformers tokenizer.
        rows: training rows of all sources.
        labels: labels in class order.
        recipe: hyper-parameters.
        validate: returns the score of an averaged network.
        state_path: file of the resumable state, written after each epoch.
        identity: recipe and data; a state is resumed only if its identity is equal.
        on_epoch: called after each epoch.
    """
    here = device()
    model.to(here)
    freeze(model, recipe.frozen_layers)
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(parameter_groups(model, recipe), fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    plans = [
        epoch_batches(tokenizer, rows, labels, recipe, epoch) for epoch in range(recipe.epochs)
    ]
    starts = np.cumsum([0, *map(len, plans)]).tolist()
    weights = class_weights(rows, labels, recipe)

    def losses_of(batch: Batch) -> tuple[Tensor, Tensor]:
        wanted, scale = targets([rows[i] for i in batch.rows], weights, recipe)
        ids, mask = padded(batch.ids, tokenizer.pad_token_id, here)
        found = functional.log_softmax(logits(model, ids, mask, bf16=recipe.bf16), -1)
        losses = -(torch.from_numpy(wanted).to(here) * found).sum(-1)
        return losses, torch.from_numpy(scale).to(here)

    def run_epoch(epoch: int) -> float:
        total, count = 0.0, 0
        for step, batch in enumerate(plans[epoch], start=starts[epoch]):
            factor = _rate(step, starts[-1], recipe.warmup_share)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            losses, scale = losses_of(batch)
            loss = (losses * scale).sum() / recipe.rows_per_step
            loss.backward()  # type: ignore[no-untyped-call]
            trained = [p for p in model.parameters() if p.requires_grad]
            nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
            optimizer.step()
            optimizer.zero_grad()
            if (step + 1) % _AVERAGE_STEPS == 0:
                move_average(average, model, average_decay(step + 1, recipe.ema))
            total += check_finite(float(losses.detach().sum()), epoch)
            count += len(batch.rows)
        return total / count

    history = train_epochs(
        nn.ModuleDict({"model": model, "average": average}),
        optimizer,
        epochs=recipe.epochs,
        seed=recipe.seed,
        run_epoch=run_epoch,
        validate=lambda: validate(average),
        keep_last=True,
        state_path=state_path,
        identity=identity,
        on_epoch=on_epoch,
    )
    return average.eval(), history


def logits(model: Any, ids: Tensor, mask: Tensor, *, bf16: bool) -> Tensor:
    """Return float32 logits [batch, classes]; with ``bf16``, the encoder runs in bfloat16.

    Equal to the model's own forward pass, except for the encoder's dropout.
    """
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        states = encode(model.bert, ids, mask)
    result: Tensor = model.classifier(model.dropout(masked_mean(states.float(), mask)))
    return result


def freeze(model: Any, layers: int = 0) -> None:
    """Train the classifier, and weights and norms of the layers above the first ``layers``."""
    frozen = tuple(f"bert.encoder.layer.{number}." for number in range(layers))
    for name, parameter in model.named_parameters():
        linear_bias = name.endswith("bias") and "LayerNorm" not in name
        parameter.requires_grad = name.startswith("classifier") or (
            ".encoder." in name and not linear_bias and not name.startswith(frozen)
        )


def parameter_groups(model: Any, recipe: MixtureRecipe) -> list[dict[str, Any]]:
    """Return a group per trained layer, with lower rates for lower layers, and the classifier's."""
    layers = list(model.bert.encoder.layer)
    groups = [
        {
            "params": [p for p in layer.parameters() if p.requires_grad],
            "lr": recipe.learning_rate * recipe.layer_decay ** (len(layers) - 1 - number),
            "weight_decay": recipe.weight_decay,
        }
        for number, layer in enumerate(layers)
        if number >= recipe.frozen_layers
    ]
    head = {
        "params": list(model.classifier.parameters()),
        "lr": recipe.learning_rate * recipe.head_rate,
        "weight_decay": 0.0,
    }
    return [*groups, head]


def average_decay(step: int, decay: float) -> float:
    """Return the decay of the moving average for the steps since its last update."""
    return float(min(decay, (1 + step) / (_WARM_AVERAGE + step)) ** _AVERAGE_STEPS)


@torch.no_grad()
def move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the trained parameters of ``average`` towards those of ``model``, in place."""
    pairs = zip(average.parameters(), model.parameters(), strict=True)
    for mean, parameter in pairs:
        if parameter.requires_grad:
            mean.lerp_(parameter, 1 - decay)


def _rate(step: int, steps: int, warmup_share: float) -> float:
    warmup = max(1, round(steps * warmup_share))
    return (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)
