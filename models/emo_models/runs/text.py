"""``emo-train text``: from tables to a checkpoint with its metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from emo_models.checkpoint import save_text
from emo_models.data.corpora import Row
from emo_models.data.datasets import Dataset, Tables, limited, read_dataset, targets_of
from emo_models.errors import DataError
from emo_models.evaluation.baselines import majority, tfidf_svm
from emo_models.evaluation.calibration import fit_temperature
from emo_models.evaluation.metrics import Ints
from emo_models.evaluation.plots import confusion_png, curve_png
from emo_models.evaluation.report import compare, report, report_logits
from emo_models.labels import LABELS
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.inference import padded, predict_logits, token_ids
from emo_models.modeling.ngrams import NgramHead
from emo_models.modeling.positions import max_tokens
from emo_models.modeling.text_classifier import add_ngrams
from emo_models.recipes import TextRecipe
from emo_models.runs.progress import epoch_bar
from emo_models.runs.tables import write_rows
from emo_models.training.loop import History, averaged
from emo_models.training.ngrams import fit_mixture, fit_ngrams
from emo_models.training.text import train_text

CHECKPOINT = "checkpoint"
MASKED_LANGUAGE = "masked language"


@dataclass(frozen=True)
class TextRun:
    """What a run needs beside its recipe and tables."""

    encoder: str
    output: Path
    pooling: str
    random_weights: bool = False
    limit: int | None = None
    allow_leak: bool = False
    baseline: bool = False
    ngram_buckets: int = 0


def run_text(run: TextRun, tables: Tables, recipe: TextRecipe) -> dict[str, Any]:
    """Train, calibrate, measure and write ``output/checkpoint``; returns its metrics.

    Raises:
        DataError: bad rows, a leak, n-grams beside a stock classifier, no fine-tuning at all.
    """
    if run.ngram_buckets and run.pooling != "mean":
        raise DataError("--ngram-buckets needs --pooling mean: the stock classifier has no place.")
    if recipe.soup < 1:
        raise DataError(f"--soup {recipe.soup}: give the number of fine-tunings, 1 at least.")
    transformers_logging.set_verbosity_error()
    data = limited(read_dataset(tables, allow_leak=run.allow_leak), run.limit)
    tuned = _fine_tune(run, data.train, recipe)
    model, tokenizer, history, held = tuned.model, tuned.tokenizer, tuned.histories[0], tuned.held
    limit = min(recipe.max_tokens, max_tokens(model.config))

    def logits_of(rows: list[Row]) -> Any:
        return predict_logits(model, tokenizer, token_ids(tokenizer, texts(rows), limit))

    validation = [data.train[i] for i in held]
    alone = report_logits(targets_of(validation), logits_of(validation))
    if run.ngram_buckets:
        seen = set(held)
        fitted = [row for i, row in enumerate(data.train) if i not in seen]
        _add_ngrams(run.ngram_buckets, model, tokenizer, fitted, validation)
    model.half().float()
    held_logits = logits_of(validation)
    temperature = fit_temperature(held_logits, targets_of(validation))
    logits = {name: logits_of(rows) for name, rows in data.tests.items()}
    metrics: dict[str, Any] = {
        "pretraining": _pretraining(Path(run.encoder)),
        "task": "text",
        "recipe": asdict(recipe),
        "rows": {"train": len(data.train) - len(held), "validation": len(held)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_epoch": history.best_epoch,
        "epochs": {"loss": history.losses, "validation": history.scores},
        "soup": [history.best_score for history in tuned.histories],
        "temperature": temperature,
        "validation": report_logits(targets_of(validation), held_logits, temperature),
        "validation_without_ngrams": alone,
        "test": {
            name: report_logits(targets_of(data.tests[name]), values, temperature)
            for name, values in logits.items()
        },
    }
    svm: dict[str, Ints] = {}
    if run.baseline:
        svm = dict(zip(data.tests, tfidf_svm(data.train, *data.tests.values()), strict=True))
        predicted = {name: values.argmax(axis=1) for name, values in logits.items()}
        metrics["baselines"] = compare_baselines(data, svm, predicted)
    for name, rows in data.tests.items():
        write_rows(run.output, name, rows, svm.get(name))
    save_text(run.output / CHECKPOINT, model, tokenizer, temperature=temperature, metrics=metrics)
    draw(run.output, metrics, "Task 1 confusion matrix")
    return metrics


@dataclass(frozen=True)
class _Tuned:
    """The network (averaged, if there were several), what led to it, and the validation rows."""

    model: Any
    tokenizer: Any
    histories: list[History]
    held: list[int]


def _fine_tune(run: TextRun, rows: list[Row], recipe: TextRecipe) -> _Tuned:
    histories, states = [], []
    for number in range(recipe.soup):
        model, tokenizer = new_classifier(
            run.encoder,
            Head(pooling=run.pooling, dropout=recipe.dropout),
            random_weights=run.random_weights,
            seed=recipe.seed,
        )
        name = f"epoch ({number + 1} of {recipe.soup})" if recipe.soup > 1 else "epoch"
        with epoch_bar(name, recipe.epochs) as on_epoch:
            history, held = train_text(
                model, tokenizer, rows, recipe, number=number, run=run.output, on_epoch=on_epoch
            )
        histories.append(history)
        states.append(model.cpu().state_dict())
    model.load_state_dict(averaged(states))
    return _Tuned(model.eval(), tokenizer, histories, held)


def _pretraining(encoder: Path) -> dict[str, Any]:
    """What `emo-train pretrain` wrote beside the encoder; empty where it comes from elsewhere."""
    path = encoder / "metrics.json"
    document: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return document if document.get("task") == MASKED_LANGUAGE else {}


def _add_ngrams(
    buckets: int, model: Any, tokenizer: Any, fitted: list[Row], validation: list[Row]
) -> None:
    """Fit an n-gram head on the training rows, weigh it on the validation rows, put it in."""
    limit = max_tokens(model.config)
    head = NgramHead(buckets, len(LABELS), int(model.config.vocab_size))
    fit_ngrams(head, token_ids(tokenizer, texts(fitted), limit), targets_of(fitted).tolist())
    ids = token_ids(tokenizer, texts(validation), limit)
    with torch.no_grad():
        scores = head(*padded(ids, tokenizer.pad_token_id, torch.device("cpu"))).numpy()
    weights = fit_mixture(predict_logits(model, tokenizer, ids), scores, targets_of(validation))
    add_ngrams(model, head, *weights)


def compare_baselines(
    data: Dataset, svm: Mapping[str, Ints], predicted: Mapping[str, Ints]
) -> dict[str, Any]:
    """Majority and TF-IDF + linear SVM on the same rows, and the paired bootstrap against it."""
    result: dict[str, Any] = {}
    for name, rows in data.tests.items():
        targets = targets_of(rows)
        result[name] = {
            "majority": report(targets, majority(data.train, rows)),
            "tfidf_svm": report(targets, svm[name]),
            "network_minus_tfidf_svm": compare(targets, predicted[name], svm[name]),
        }
    return result


def draw(output: Path, metrics: Mapping[str, Any], title: str) -> None:
    """The curve, and a confusion matrix per test set."""
    curve_png(output / "curve.png", metrics["epochs"]["loss"], metrics["epochs"]["validation"])
    for name, figures in metrics["test"].items():
        confusion_png(output / f"confusion_{name}.png", figures["confusion"], LABELS, title)


def texts(rows: list[Row]) -> list[str]:
    """The transcripts, untouched."""
    return [row.text or "" for row in rows]
