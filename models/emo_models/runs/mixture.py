"""``emo-train text-mixture``: from a recipe to a text checkpoint with its metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from emo_models.checkpoint import save_text
from emo_models.data.corpora import Row
from emo_models.data.datasets import targets_of
from emo_models.data.mixture import Example, Mixture, examples, read_mixture
from emo_models.errors import CheckpointError, DataError
from emo_models.evaluation.calibration import fit_temperature_of_sets
from emo_models.evaluation.metrics import Ints, macro_f1
from emo_models.evaluation.report import report_logits
from emo_models.mixture_recipe import MixtureRecipe
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.fast_bert import check_supported
from emo_models.modeling.inference import predict_logits, token_ids
from emo_models.modeling.load import load_encoder, load_text
from emo_models.modeling.positions import max_tokens
from emo_models.modeling.source import checkpoint_directory, weights_sha256
from emo_models.runs.progress import epoch_bar
from emo_models.runs.state import begin_run, finish_run
from emo_models.runs.tables import write_rows
from emo_models.runs.text import CHECKPOINT, draw
from emo_models.training.mixture import train_mixture
from emo_models.training.near_duplicates import largest_similarities
from emo_runtime.text.preparation import prepare

NOT_CALIBRATED = "temperature 1: no validation rows. Give a source validation_folds."


@dataclass(frozen=True)
class MixtureRun:
    """Settings of a run, apart from its recipe.

    Attributes:
        output: directory of the run.
        encoder: directory or Hub id of a BERT encoder, which gets a new classifier.
        checkpoint: directory of a text checkpoint with the same labels, instead of ``encoder``:
            its classifier is trained further.
        similarity_encoder: directory or Hub id of the encoder for ``similar_to``; None:
            ``encoder``.
        report_tests: report on the test tables and test folds.
        options: all options and the recipe; a state is resumed only if they are equal.
    """

    output: Path
    encoder: str | None = None
    checkpoint: str | None = None
    similarity_encoder: str | None = None
    report_tests: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def run_mixture(
    run: MixtureRun, recipe: MixtureRecipe, on_ready: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Train, calibrate, evaluate and write ``output/checkpoint``; return its metrics.

    Args:
        run: settings.
        recipe: hyper-parameters and sources.
        on_ready: called after all checks, before the first file is written.

    Raises:
        DataError: bad rows, or a state of another run.
        CheckpointError: the encoder is incomplete or of another kind.
    """
    mixture = read_mixture(recipe)
    examples(mixture, recipe)  # refuses bad rows before the network is read
    model, tokenizer = _network(run, recipe, mixture.labels)
    mixture = _without_translations(run, recipe, mixture)
    rows = examples(mixture, recipe)
    recipe = msgspec.structs.replace(
        recipe, max_tokens=min(recipe.max_tokens, max_tokens(model.config))
    )
    start = checkpoint_directory(str(run.encoder or run.checkpoint))
    identity = begin_run(
        run.output,
        {
            "options": {**run.options, **msgspec.to_builtins(recipe)},
            "encoder weights": weights_sha256(start),
            "labels": list(mixture.labels),
            "rows": _rows_sha256(rows),
        },
        on_ready,
    )
    notes = list(mixture.notes)
    limit = max_tokens(model.config)

    def logits_of(network: Any, part: Sequence[Row]) -> NDArray[np.float32]:
        texts = [prepare(row.text or "", recipe.preparation) for row in part]
        return predict_logits(network, tokenizer, token_ids(tokenizer, texts, limit))

    judged = {
        name: part for name, part in mixture.validation.items() if recipe.sources[name].calibrate
    }
    targets = {name: targets_of(part, mixture.labels) for name, part in mixture.validation.items()}

    def validate(network: Any) -> float:
        scores = [
            macro_f1(targets[name], logits_of(network, part).argmax(1), len(mixture.labels))
            for name, part in judged.items()
        ]
        return float(np.mean(scores)) if scores else 0.0

    with epoch_bar("epoch", recipe.epochs) as on_epoch:
        average, history = train_mixture(
            model,
            tokenizer,
            rows,
            mixture.labels,
            recipe,
            validate=validate,
            state_path=run.output / "state.pt",
            identity=identity,
            on_epoch=on_epoch,
        )
    average.half().float()
    held = {name: logits_of(average, part) for name, part in mixture.validation.items()}
    temperature = 1.0
    if judged:
        temperature = fit_temperature_of_sets([(held[name], targets[name]) for name in judged])
    else:
        notes.append(NOT_CALIBRATED)

    def report(values: NDArray[np.float32], wanted: Ints) -> dict[str, Any]:
        return report_logits(wanted, values, temperature, labels=mixture.labels)

    tests = mixture.tests if run.report_tests else {}
    metrics: dict[str, Any] = {
        "task": "text",
        "labels": list(mixture.labels),
        "recipe": msgspec.to_builtins(recipe),
        "rows": {
            "train": {name: len(part) for name, part in mixture.train.items()},
            "validation": {name: len(part) for name, part in mixture.validation.items()},
        },
        "notes": notes,
        "parameters": sum(p.numel() for p in average.parameters()),
        "best_epoch": history.best_epoch,
        "epochs": {"loss": history.losses, "validation": history.scores},
        "temperature": temperature,
        "validation": {name: report(held[name], targets[name]) for name in held},
        "test": {
            name: report(logits_of(average, part), targets_of(part, mixture.labels))
            for name, part in tests.items()
        },
    }
    for name, part in {**{f"validation_{n}": p for n, p in mixture.validation.items()},
                       **mixture.tests}.items():  # fmt: skip
        write_rows(run.output, name, part, mixture.labels)
    save_text(
        run.output / CHECKPOINT,
        average,
        tokenizer,
        temperature=temperature,
        preparation=recipe.preparation,
        metrics=metrics,
    )
    draw(run.output, metrics, "Confusion matrix")
    finish_run(run.output)
    return metrics


def _network(run: MixtureRun, recipe: MixtureRecipe, labels: Sequence[str]) -> tuple[Any, Any]:
    if run.checkpoint is None:
        head = Head(labels=labels, pooling="mean", dropout=recipe.dropout)
        model, tokenizer = new_classifier(str(run.encoder), head, seed=recipe.seed)
    else:
        loaded = load_text(run.checkpoint)
        model, tokenizer = loaded.module, loaded.tokenizer
        if loaded.pooling != "mean" or loaded.multi_label or getattr(model, "ngrams", None):
            raise CheckpointError(
                f"{run.checkpoint}: not a mean-pooled classifier without n-grams. Give a checkpoint"
                " of emo-train text-mixture, or its encoder with --encoder."
            )
        if loaded.labels != tuple(labels):
            raise CheckpointError(
                f"{run.checkpoint}: has the labels {', '.join(loaded.labels)}; the recipe has "
                f"{', '.join(labels)}. Give --encoder, which gets a new classifier."
            )
        model.dropout.p = recipe.dropout
    check_supported(model.config)
    present = len(model.bert.encoder.layer)
    layers = present if recipe.layers is None else recipe.layers
    if layers > present or recipe.frozen_layers > layers:
        raise DataError(
            f"layers {layers}, frozen_layers {recipe.frozen_layers}: the encoder has {present} "
            "layers."
        )
    model.bert.encoder.layer = model.bert.encoder.layer[:layers]
    model.config.num_hidden_layers = layers
    return model, tokenizer


def _without_translations(run: MixtureRun, recipe: MixtureRecipe, mixture: Mixture) -> Mixture:
    """Leave out training rows that are too similar to held-out rows of another source."""
    chosen = [name for name in mixture.train if recipe.sources[name].similar_to]
    if not chosen:
        return mixture
    source = run.similarity_encoder or run.encoder
    if source is None:
        raise DataError(
            f"[sources.{chosen[0]}] has similar_to: give --similarity-encoder with --checkpoint."
        )
    encoder = load_encoder(source)
    train, notes = dict(mixture.train), list(mixture.notes)
    for name in chosen:
        own = recipe.sources[name]
        other = str(own.similar_to)
        held = [*mixture.validation.get(other, ()), *mixture.tests.get(f"{other}_test", ())]
        if not held:
            raise DataError(f"[sources.{name}] similar_to: {other} has no held-out rows.")
        rows = mixture.train[name]
        found = largest_similarities(encoder.module, encoder.tokenizer, _texts(rows), _texts(held))
        kept = [row for row, value in zip(rows, found, strict=True)
                if value <= own.largest_similarity]  # fmt: skip
        notes.append(f"{name}: {len(rows) - len(kept)} of {len(rows)} training rows are left out: "
                     f"similar to held-out rows of {other}.")  # fmt: skip
        train[name] = kept
    return replace(mixture, train={name: rows for name, rows in train.items() if rows},
                   notes=tuple(notes))  # fmt: skip


def _rows_sha256(rows: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _texts(rows: Sequence[Row]) -> list[str]:
    return [row.text or "" for row in rows]
