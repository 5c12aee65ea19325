"""Fine-tuning of a text classifier (Task 1; section 4.1 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emo_models.data.corpora import Row
from emo_models.data.datasets import soft_targets, targets_of
from emo_models.data.multi_label import label_matrix, rarest_labels
from emo_models.data.splits import split_rows
from emo_models.modeling.inference import device, padded, predict_logits, token_ids
from emo_models.modeling.load import MULTI_LABEL
from emo_models.modeling.positions import max_tokens
from emo_models.recipes import TextRecipe
from emo_models.training.loop import (
    History,
    check_finite,
    class_weights,
    train_epochs,
    validation_figure,
)
from emo_models.training.multi_label import binary_loss, multi_label_figure, smoothed

_BUCKET_BATCHES = 16


def train_text(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    recipe: TextRecipe,
    *,
    number: int = 0,
    run: Path | None = None,
    on_epoch: Callable[[History], None] = lambda _: None,
) -> tuple[History, list[int]]:
    """Fine-tune ``model`` in place; the best epoch is loaded at the end.

    Args:
        model: a classifier that returns ``.logits``.
        tokenizer: its transformers tokenizer.
        rows: rows with text; a share of them is used for validation.
        recipe: hyper-parameters.
        number: of several fine-tunings on the same split; changes order, masks and dropout.
        run: directory of the resumable state.
        on_epoch: called after each epoch.

    Returns:
        The history, and the numbers of the validation rows.
    """
    here = device()
    model.to(here)
    limit = min(recipe.max_tokens, max_tokens(model.config))
    ids = token_ids(tokenizer, [row.text or "" for row in rows], limit)
    labels = labels_of(model)
    objective = (_multi_label if is_multi_label(model) else _single_label)(rows, labels, recipe)
    train, held, wanted = objective.train, objective.held, objective.wanted
    loss = objective.loss.to(here)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
    )
    steps = recipe.epochs * -(-len(train) // recipe.batch_size)

    def run_epoch(epoch: int) -> float:
        total = 0.0
        rng = np.random.default_rng([recipe.seed, epoch, number])
        batches = list(_batches(train, ids, recipe.batch_size, rng))
        for step, batch in enumerate(batches, start=epoch * len(batches)):
            rate = recipe.learning_rate * _rate(step, steps, recipe)
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = [ids[i] for i in batch]
            if recipe.token_masking:
                chosen = [_mask(row, recipe.token_masking, tokenizer, rng) for row in chosen]
            input_ids, attention_mask = padded(chosen, tokenizer.pad_token_id, here)
            with torch.autocast(here.type, torch.bfloat16, enabled=recipe.bf16):
                logits = model(input_ids=input_ids, attention_mask=attention_mask).logits
            value = loss(logits.float(), torch.from_numpy(wanted[batch]).to(here))
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            total += check_finite(float(value.detach()), epoch) * len(batch)
        return total / len(train)

    def validate() -> float:
        return objective.figure(predict_logits(model, tokenizer, [ids[i] for i in held]))

    history = train_epochs(
        model,
        optimizer,
        epochs=recipe.epochs,
        seed=recipe.seed + number,
        run_epoch=run_epoch,
        validate=validate,
        keep_last=recipe.best_by == "last",
        state_path=run / f"state{number or ''}.pt" if run else None,
        identity={"recipe": asdict(recipe), "rows": _identity(rows), "labels": list(labels)},
        on_epoch=on_epoch,
    )
    return history, held


@dataclass(frozen=True)
class _Objective:
    """Split of the rows, their targets, the loss, and the figure of the validation logits."""

    train: list[int]
    held: list[int]
    wanted: NDArray[Any]
    loss: nn.Module
    figure: Callable[[NDArray[Any]], float]


def validation_rows(
    rows: Sequence[Row], labels: Sequence[str], recipe: TextRecipe, *, multi_label: bool
) -> list[int]:
    """Return the numbers of the rows that ``train_text`` keeps for validation."""
    return _split(rows, labels, recipe, multi_label=multi_label)[1]


def _split(
    rows: Sequence[Row], labels: Sequence[str], recipe: TextRecipe, *, multi_label: bool
) -> tuple[list[int], list[int]]:
    strata = (
        rarest_labels(label_matrix(rows, labels))
        if multi_label
        else targets_of(rows, labels).tolist()
    )
    return split_rows(strata, recipe.validation_share, recipe.seed)


def _single_label(rows: Sequence[Row], labels: Sequence[str], recipe: TextRecipe) -> _Objective:
    targets = targets_of(rows, labels)
    soft = soft_targets(rows, labels, recipe.soft_share)
    train, held = _split(rows, labels, recipe, multi_label=False)
    weights = class_weights(targets[train].tolist(), len(labels), recipe.class_weights)
    return _Objective(
        train,
        held,
        targets if soft is None else soft,
        nn.CrossEntropyLoss(weight=weights, label_smoothing=recipe.label_smoothing),
        lambda logits: validation_figure(
            targets[held], logits.argmax(axis=1), labels, recipe.best_by
        ),
    )


def _multi_label(rows: Sequence[Row], labels: Sequence[str], recipe: TextRecipe) -> _Objective:
    targets = label_matrix(rows, labels)
    train, held = _split(rows, labels, recipe, multi_label=True)
    return _Objective(
        train,
        held,
        smoothed(targets, recipe.label_smoothing),
        binary_loss(targets[train], recipe.class_weights),
        lambda logits: multi_label_figure(targets[held], logits, labels, recipe.best_by),
    )


def is_multi_label(model: Any) -> bool:
    """True for a classifier of independent labels (``problem_type`` of its configuration)."""
    return getattr(model.config, "problem_type", None) == MULTI_LABEL


def labels_of(model: Any) -> tuple[str, ...]:
    """Return the labels of a transformers classifier in class order."""
    names: dict[int, str] = model.config.id2label
    return tuple(names[index] for index in sorted(names))


def _identity(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    return [(row.id, row.label, row.text or "", repr(row.scores)) for row in rows]


def _batches(
    rows: Sequence[int], ids: Sequence[list[int]], size: int, rng: np.random.Generator
) -> Iterator[list[int]]:
    """Yield shuffled batches of rows of similar length.

    They need a third of the padding of plain shuffling.
    """
    order = rng.permutation(np.asarray(rows))
    batches: list[list[int]] = []
    for start in range(0, len(order), size * _BUCKET_BATCHES):
        bucket = sorted(order[start : start + size * _BUCKET_BATCHES], key=lambda i: len(ids[i]))
        batches.extend(
            [int(i) for i in bucket[first : first + size]] for first in range(0, len(bucket), size)
        )
    for index in rng.permutation(len(batches)):
        yield batches[index]


def _mask(row: list[int], share: float, tokenizer: Any, rng: np.random.Generator) -> list[int]:
    """Return the row with a share of its inner tokens replaced by [MASK]."""
    hide = rng.random(len(row)) < share
    hide[0] = hide[-1] = False
    mask: int = tokenizer.mask_token_id
    return [mask if hidden else token for token, hidden in zip(row, hide, strict=True)]


def _rate(step: int, steps: int, recipe: TextRecipe) -> float:
    warmup = round(steps * recipe.warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    if recipe.schedule == "constant":
        return 1.0
    return max(0.0, (steps - step) / max(1, steps - warmup))
