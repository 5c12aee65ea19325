"""``emo-train text``: from tables to a checkpoint with its metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import torch
from transformers.utils import logging as transformers_logging

from emo_models.checkpoint import save_text
from emo_models.data.corpora import Row
from emo_models.data.datasets import Dataset, check_classes, limited, missing_classes, targets_of
from emo_models.errors import DataError
from emo_models.evaluation.baselines import majority, tfidf_svm
from emo_models.evaluation.judge import Judge
from emo_models.evaluation.metrics import Ints
from emo_models.evaluation.plots import confusion_png, curve_png
from emo_models.evaluation.report import compare, report
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.inference import padded, predict_logits, token_ids
from emo_models.modeling.ngrams import NgramHead
from emo_models.modeling.positions import max_tokens
from emo_models.modeling.source import checkpoint_directory, weights_sha256
from emo_models.modeling.text_classifier import add_ngrams
from emo_models.recipes import TextRecipe
from emo_models.runs.progress import epoch_bar
from emo_models.runs.state import begin_run, finish_run, rows_sha256
from emo_models.runs.tables import write_rows
from emo_models.training.loop import History, averaged
from emo_models.training.ngrams import fit_mixture, fit_ngrams
from emo_models.training.text import train_text, validation_rows
from emo_runtime.bundle.text_preparation import TextPreparation
from emo_runtime.text.preparation import prepare

CHECKPOINT = "checkpoint"
MASKED_LANGUAGE = "masked language"


@dataclass(frozen=True)
class TextRun:
    """Settings of a run, apart from its recipe and tables.

    ``encoder`` is a directory or a Hub id. ``options`` are all options of the run; a state is
    resumed only if its options are equal.
    """

    encoder: str
    output: Path
    pooling: str
    random_weights: bool = False
    limit: int | None = None
    baseline: bool = False
    ngram_buckets: int = 0
    preparation: TextPreparation = field(default_factory=TextPreparation)
    options: Mapping[str, Any] = field(default_factory=dict)


def run_text(
    run: TextRun,
    dataset: Dataset,
    recipe: TextRecipe,
    on_ready: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train, calibrate, evaluate and write ``output/checkpoint``; return its metrics.

    Args:
        run: settings.
        dataset: rows.
        recipe: hyper-parameters.
        on_ready: called after all checks, before the first file is written.

    Raises:
        DataError: rows of one label only, an n-gram head on a stock classifier, or a state of
            another run.
        CheckpointError: the encoder is incomplete.
    """
    if run.ngram_buckets and run.pooling != "mean":
        raise DataError(
            "--ngram-buckets needs --pooling mean: a stock classifier has no n-gram head."
        )
    transformers_logging.set_verbosity_error()
    _check_multi_label(run, dataset, recipe)
    check_classes(dataset)
    data = _prepared(limited(dataset, run.limit), run.preparation)
    labels = data.labels
    directory = checkpoint_directory(run.encoder)
    identity = {
        "options": dict(run.options),
        "encoder weights": None if run.random_weights else weights_sha256(directory),
        "labels": list(labels),
        "rows": rows_sha256(data.train),
    }
    begin_run(run.output, identity, on_ready)
    notes = [*data.notes, *_split_notes(data, recipe)]
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    tuned = _fine_tune(run, data, recipe)
    model, tokenizer, history, held = tuned.model, tuned.tokenizer, tuned.histories[0], tuned.held
    limit = min(recipe.max_tokens, max_tokens(model.config))
    if limit < max_tokens(model.config):
        model.config.max_tokens = limit  # bundles cut texts where the training did

    def logits_of(rows: list[Row]) -> Any:
        return predict_logits(model, tokenizer, token_ids(tokenizer, texts(rows), limit))

    validation = [data.train[i] for i in held]
    judge = Judge(labels, data.multi_label)
    targets = judge.targets(validation)
    alone = judge.of_logits(targets, logits_of(validation))
    if run.ngram_buckets:
        seen = set(held)
        fitted = [row for i, row in enumerate(data.train) if i not in seen]
        _add_ngrams(run.ngram_buckets, model, tokenizer, fitted, validation, labels=labels)
    model.half().float()
    held_logits = logits_of(validation)
    temperature = judge.temperature(held_logits, targets)
    logits = {name: logits_of(rows) for name, rows in data.tests.items()}
    metrics: dict[str, Any] = {
        "pretraining": _pretraining(directory),
        "task": "text",
        "labels": list(labels),
        **({"multi_label": True} if data.multi_label else {}),
        "recipe": asdict(recipe),
        "rows": {"train": len(data.train) - len(held), "validation": len(held)},
        "notes": notes,
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_epoch": history.best_epoch,
        "epochs": {"loss": history.losses, "validation": history.scores},
        "soup": [history.best_score for history in tuned.histories],
        "temperature": temperature,
        "validation": judge.of_logits(targets, held_logits, temperature),
        "validation_without_ngrams": alone,
        "test": {
            name: judge.of_logits(judge.targets(data.tests[name]), values, temperature)
            for name, values in logits.items()
        },
    }
    svm: dict[str, Ints] = {}
    if run.baseline:
        predictions = tfidf_svm(data.train, *data.tests.values(), labels=labels)
        svm = dict(zip(data.tests, predictions, strict=True))
        predicted = {name: values.argmax(axis=1) for name, values in logits.items()}
        metrics["baselines"] = compare_baselines(data, svm, predicted)
    for name, rows in data.tests.items():
        write_rows(run.output, name, rows, labels, svm.get(name))
    save_text(
        run.output / CHECKPOINT,
        model,
        tokenizer,
        temperature=temperature,
        preparation=run.preparation,
        metrics=metrics,
    )
    draw(run.output, metrics, "Task 1 confusion matrix")
    finish_run(run.output)
    return metrics


@dataclass(frozen=True)
class _Tuned:
    """A fine-tuned network (possibly an average), its histories and its validation rows."""

    model: Any
    tokenizer: Any
    histories: list[History]
    held: list[int]


def _prepared(data: Dataset, preparation: TextPreparation) -> Dataset:
    """Return the rows with their transcripts as the runtime prepares them."""

    def changed(rows: list[Row]) -> list[Row]:
        return [replace(row, text=prepare(row.text or "", preparation)) for row in rows]

    tests = {name: changed(rows) for name, rows in data.tests.items()}
    return replace(data, train=changed(data.train), tests=tests)


def _check_multi_label(run: TextRun, data: Dataset, recipe: TextRecipe) -> None:
    """Refuse options that are for single labels."""
    if not data.multi_label:
        return
    single = {
        "--ngram-buckets": bool(run.ngram_buckets),
        "--baseline": run.baseline,
        "columns score_LABEL (--soft-share 0 ignores them)": bool(recipe.soft_share)
        and any(row.scores for row in data.train),
    }
    if given := [name for name, used in single.items() if used]:
        raise DataError(f"--label-separator: a multi-label classifier has no {', '.join(given)}.")


def _split_notes(data: Dataset, recipe: TextRecipe) -> list[str]:
    held = validation_rows(data.train, data.labels, recipe, multi_label=data.multi_label)
    return missing_classes([data.train[i] for i in held], data.labels, "validation")


def _fine_tune(run: TextRun, data: Dataset, recipe: TextRecipe) -> _Tuned:
    histories, states = [], []
    head = Head(data.labels, run.pooling, recipe.dropout, data.multi_label)
    for number in range(recipe.soup):
        model, tokenizer = new_classifier(
            run.encoder, head, random_weights=run.random_weights, seed=recipe.seed
        )
        name = f"epoch ({number + 1} of {recipe.soup})" if recipe.soup > 1 else "epoch"
        with epoch_bar(name, recipe.epochs) as on_epoch:
            history, held = train_text(
                model,
                tokenizer,
                data.train,
                recipe,
                number=number,
                run=run.output,
                on_epoch=on_epoch,
            )
        histories.append(history)
        states.append(model.cpu().state_dict())
    model.load_state_dict(averaged(states))
    return _Tuned(model.eval(), tokenizer, histories, held)


def _pretraining(encoder: Path) -> dict[str, Any]:
    """Return the metrics that `emo-train pretrain` wrote next to the encoder, if any."""
    path = encoder / "metrics.json"
    document: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return document if document.get("task") == MASKED_LANGUAGE else {}


def _add_ngrams(
    buckets: int,
    model: Any,
    tokenizer: Any,
    fitted: list[Row],
    validation: list[Row],
    *,
    labels: Sequence[str],
) -> None:
    """Fit an n-gram head on the training rows, weight it on the validation rows and add it."""
    limit = max_tokens(model.config)
    head = NgramHead(buckets, len(labels), int(model.config.vocab_size))
    fit_ngrams(
        head, token_ids(tokenizer, texts(fitted), limit), targets_of(fitted, labels).tolist()
    )
    ids = token_ids(tokenizer, texts(validation), limit)
    with torch.no_grad():
        scores = head(*padded(ids, tokenizer.pad_token_id, torch.device("cpu"))).numpy()
    targets = targets_of(validation, labels)
    weights = fit_mixture(predict_logits(model, tokenizer, ids), scores, targets)
    add_ngrams(model, head, *weights)


def compare_baselines(
    data: Dataset, svm: Mapping[str, Ints], predicted: Mapping[str, Ints]
) -> dict[str, Any]:
    """Report on the majority class and TF-IDF + linear SVM, with a paired bootstrap."""
    result: dict[str, Any] = {}
    labels = data.labels
    for name, rows in data.tests.items():
        targets = targets_of(rows, labels)
        result[name] = {
            "majority": report(targets, majority(data.train, rows, labels), labels=labels),
            "tfidf_svm": report(targets, svm[name], labels=labels),
            "network_minus_tfidf_svm": compare(targets, predicted[name], svm[name], labels=labels),
        }
    return result


def draw(output: Path, metrics: Mapping[str, Any], title: str) -> None:
    """Draw the training curve, and a confusion matrix for each test set."""
    curve_png(output / "curve.png", metrics["epochs"]["loss"], metrics["epochs"]["validation"])
    for name, figures in metrics["test"].items():
        if "confusion" not in figures:  # multi-label
            continue
        path = output / f"confusion_{name}.png"
        confusion_png(path, figures["confusion"], metrics["labels"], title)


def texts(rows: list[Row]) -> list[str]:
    """Return the transcripts of the rows."""
    return [row.text or "" for row in rows]
