"""``emo-train soup``: the average of the weights of several text checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emo_models.checkpoint import save_text
from emo_models.data.corpora import Needs, TableFormat, read_csv
from emo_models.data.datasets import targets_of
from emo_models.errors import CheckpointError, DataError
from emo_models.evaluation.calibration import fit_temperature_of_sets
from emo_models.evaluation.report import report_logits
from emo_models.labels import label_index
from emo_models.modeling.inference import predict_logits, token_ids
from emo_models.modeling.load import TextCheckpoint, load_text
from emo_models.runs.text import CHECKPOINT
from emo_models.training.loop import averaged
from emo_runtime.text.preparation import prepare


@dataclass(frozen=True)
class SoupRun:
    """Settings of a soup.

    Attributes:
        output: checkpoint directory to write.
        runs: text checkpoints, or directories of runs with a checkpoint.
        weights: weight of each; empty: all the same. They are divided by their sum.
        priors: factors of label probabilities, such as 2 for neutral: its logit rises by log 2.
        temperature: divisor of the logits; None: fitted on ``validation``, else the mean of the
            checkpoints'.
        validation: tables to report on and to fit the temperature on; tables count equally.
        layout: how the tables are read.
    """

    output: Path
    runs: tuple[Path, ...]
    weights: tuple[float, ...] = ()
    priors: Mapping[str, float] = field(default_factory=dict)
    temperature: float | None = None
    validation: tuple[Path, ...] = ()
    layout: TableFormat = field(default_factory=TableFormat)


def run_soup(run: SoupRun) -> dict[str, Any]:
    """Write the average of the checkpoints to ``run.output``; return its metrics.

    Raises:
        CheckpointError: the checkpoints differ in labels, shapes, tokenizer or text preparation.
        DataError: a bad table, an unknown label, or weights that do not fit.
    """
    weights = run.weights or (1.0,) * len(run.runs)
    if len(weights) != len(run.runs):
        raise DataError(f"{len(run.runs)} checkpoints and {len(weights)} weights: give one each.")
    parts = [load_text(path / CHECKPOINT if (path / CHECKPOINT).is_dir() else path)
             for path in run.runs]  # fmt: skip
    first = parts[0]
    if first.multi_label:
        raise CheckpointError(
            f"{first.directory}: it is a multi-label classifier, and a soup is reported on single "
            "labels. `emo-train text --soup N --label-separator` averages multi-label ones."
        )
    for part in parts[1:]:
        _check_same(first, part)
    tables = {path.stem: read_csv(path, needs=Needs(text=True), layout=run.layout)
              for path in run.validation}  # fmt: skip
    targets = {name: targets_of(rows, first.labels) for name, rows in tables.items()}
    shares = [weight / sum(weights) for weight in weights]
    first.module.load_state_dict(averaged([part.module.state_dict() for part in parts], shares))
    _add_priors(first, run.priors)
    first.module.half().float()
    logits = {}
    for name, rows in tables.items():
        texts = [prepare(row.text or "", first.preparation) for row in rows]
        ids = token_ids(first.tokenizer, texts, first.max_tokens)
        logits[name] = predict_logits(first.module, first.tokenizer, ids)
    temperature = run.temperature
    if temperature is None and tables:
        temperature = fit_temperature_of_sets([(logits[name], targets[name]) for name in tables])
    elif temperature is None:
        temperature = sum(s * part.temperature for s, part in zip(shares, parts, strict=True))
    metrics = {
        "task": "text",
        "labels": list(first.labels),
        "soup": [
            {"name": path.name, "weight": share, "weights_sha256": part.sha256}
            for path, share, part in zip(run.runs, shares, parts, strict=True)
        ],
        "priors": dict(run.priors),
        "parameters": sum(p.numel() for p in first.module.parameters()),
        "temperature": temperature,
        "validation": {
            name: report_logits(targets[name], values, temperature, labels=first.labels)
            for name, values in logits.items()
        },
    }
    save_text(
        run.output,
        first.module,
        first.tokenizer,
        temperature=temperature,
        preparation=first.preparation,
        metrics=metrics,
    )
    return metrics


def _check_same(one: TextCheckpoint, other: TextCheckpoint) -> None:
    different = [
        name
        for name, a, b in (
            ("labels", one.labels, other.labels),
            ("class", type(one.module), type(other.module)),
            ("shapes", _shapes(one), _shapes(other)),
            ("tokenizer", _tokenizer(one), _tokenizer(other)),
            ("problem type", one.multi_label, other.multi_label),
            ("text preparation", one.preparation, other.preparation),
        )
        if a != b
    ]
    if different:
        raise CheckpointError(
            f"{other.directory}: has other {', '.join(different)} than {one.directory}. Only "
            "checkpoints trained from the same encoder for the same labels can be averaged."
        )


def _shapes(part: TextCheckpoint) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in part.module.state_dict().items()}


def _tokenizer(part: TextCheckpoint) -> str:
    backend = part.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return str(backend.to_str())


@torch.no_grad()
def _add_priors(part: TextCheckpoint, priors: Mapping[str, float]) -> None:
    if not priors:
        return
    bias = _output_bias(part)
    for label, factor in priors.items():
        bias[label_index(label, part.labels, where="--prior")] += math.log(factor)


def _output_bias(part: TextCheckpoint) -> Tensor:
    names = ("classifier.bias", "classifier.out_proj.bias")
    found: Sequence[Tensor] = [
        value for name, value in part.module.named_parameters() if name in names
    ]
    if len(found) != 1 or getattr(part.module, "ngrams", None) is not None:
        raise CheckpointError(
            f"{part.directory}: {type(part.module).__name__} has no single output bias that "
            "--prior could change."
        )
    return found[0]
