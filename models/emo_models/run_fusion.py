"""``emo-train fusion``: from tables to a fusion checkpoint with its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from transformers.utils import logging as transformers_logging

from emo_models.calibration import fit_temperature
from emo_models.checkpoint import WEIGHTS, file_sha256, load_encoder, save_fusion
from emo_models.corpora import Row, read_csv
from emo_models.datasets import Tables, read_dataset
from emo_models.errors import DataError
from emo_models.features import Floats, audio_contract, audio_features, text_features
from emo_models.fusion import FusionNetwork, TrainedFusion
from emo_models.fusion_training import (
    AUDIO_ONLY,
    BOTH,
    TEXT_ONLY,
    Features,
    predict_fusion,
    train_fusion,
)
from emo_models.pairs import Pairs, matched_pairs, own_pairs, split_speakers
from emo_models.progress import epoch_bar, row_bar
from emo_models.recipes import FusionRecipe
from emo_models.report import report_logits
from emo_models.run_text import CHECKPOINT, draw, limited, targets_of
from emo_models.training import split_rows

_VALIDATION, _TEST = 1, 2
MATCHED = (
    "label-matched: each transcript goes with a clip of the same label from another corpus, split "
    "by video and by speaker; not comparable with figures on real pairs"
)


@dataclass(frozen=True)
class FusionRun:
    """What a run needs beside its recipe and tables.

    ``clips`` are tables of sound with speakers, for label-matched pairs; without them the training
    tables bring their own sound.
    """

    encoder: Path
    output: Path
    clips: tuple[Path, ...] = ()
    limit: int | None = None
    allow_leak: bool = False
    cache: Path | None = None


@dataclass(frozen=True)
class _Data:
    train: Features
    validation: Features
    tests: dict[str, Features]
    rows: dict[str, int]
    note: str


def run_fusion(run: FusionRun, tables: Tables, recipe: FusionRecipe) -> dict[str, Any]:
    """Train, calibrate, measure and write ``output/checkpoint``; returns its metrics."""
    transformers_logging.set_verbosity_error()
    data = _data(run, tables, recipe)
    encoder_sha256 = file_sha256(run.encoder / WEIGHTS)
    identity = {"encoder": encoder_sha256, "rows": data.rows}
    with epoch_bar("epoch", recipe.epochs) as on_epoch:
        network, history = train_fusion(
            data.train,
            data.validation,
            recipe,
            run=run.output,
            identity=identity,
            on_epoch=on_epoch,
        )
    network.half().float()
    pairs = data.validation.pairs(0)
    held = predict_fusion(network, data.validation, pairs)
    network.details = TrainedFusion(
        temperature=fit_temperature(held, pairs.labels),
        encoder_sha256=encoder_sha256,
        audio=msgspec.to_builtins(audio_contract(recipe.n_mfcc)),
    )
    metrics: dict[str, Any] = {
        "task": "fusion",
        "pairs": data.note,
        "recipe": asdict(recipe),
        "rows": data.rows,
        "parameters": sum(p.numel() for p in network.parameters()),
        "best_epoch": history.best_epoch,
        "epochs": {"loss": history.losses, "validation": history.scores},
        "temperature": network.details.temperature,
        "validation": report_logits(pairs.labels, held, network.details.temperature),
        "test": {},
    }
    for name, features in data.tests.items():
        metrics["test"] |= _reports(name, network, features)
    save_fusion(run.output / CHECKPOINT, network, metrics=metrics)
    draw(run.output, metrics, "Task 2 confusion matrix")
    return metrics


def _reports(name: str, network: FusionNetwork, features: Features) -> dict[str, Any]:
    """Fused; and, where the network can do without a modality, each alone (sound: per clip)."""
    temperature = network.details.temperature
    pairs = features.pairs(0)
    if not network.config.present_input:
        return {
            name: report_logits(pairs.labels, predict_fusion(network, features, pairs), temperature)
        }
    clips = np.arange(len(features.audio))
    alone = Pairs(clips, np.zeros_like(clips), features.audio_labels)
    kinds = {
        "": (pairs, BOTH),
        "_text_only": (pairs, TEXT_ONLY),
        "_audio_only": (alone, AUDIO_ONLY),
    }
    return {
        name + kind: report_logits(
            chosen.labels, predict_fusion(network, features, chosen, present), temperature
        )
        for kind, (chosen, present) in kinds.items()
    }


def _data(run: FusionRun, tables: Tables, recipe: FusionRecipe) -> _Data:
    own = not run.clips
    dataset = limited(read_dataset(tables, need_audio=own, allow_leak=run.allow_leak), run.limit)
    encoder, tokenizer = load_encoder(run.encoder)
    labels = [row.label for row in dataset.train]
    fit, held = split_rows(labels, recipe.validation_share, recipe.seed)
    texts = {
        "train": [dataset.train[i] for i in fit],
        "validation": [dataset.train[i] for i in held],
        **dataset.tests,
    }
    spoken = texts if own else _clips(run.clips, texts, recipe)
    features = {
        name: (
            _sound(spoken[name], name, run, recipe),
            text_features(rows, encoder, tokenizer),
        )
        for name, rows in texts.items()
    }

    def paired(name: str, number: int, *, resampled: bool = False) -> Features:
        audio, text = features[name]
        texts_of, clips_of = targets_of(texts[name]), targets_of(spoken[name])
        if own:
            fixed = own_pairs(texts_of.tolist())
            return Features(audio, text, clips_of, lambda _: fixed)
        if resampled:
            return Features(
                audio,
                text,
                clips_of,
                lambda epoch: matched_pairs(
                    texts_of.tolist(), clips_of.tolist(), (recipe.seed, 0, epoch), both=True
                ),
            )
        fixed = matched_pairs(
            texts_of.tolist(), clips_of.tolist(), (recipe.seed, number), both=False
        )
        return Features(audio, text, clips_of, lambda _: fixed)

    return _Data(
        train=paired("train", 0, resampled=True),
        validation=paired("validation", _VALIDATION),
        tests={name: paired(name, _TEST) for name in dataset.tests},
        rows={
            **{f"{name}_texts": len(rows) for name, rows in texts.items()},
            **{f"{name}_clips": len(rows) for name, rows in spoken.items()},
        },
        note="the corpus's own" if own else MATCHED,
    )


def _clips(
    tables: Sequence[Path], texts: dict[str, list[Row]], recipe: FusionRecipe
) -> dict[str, list[Row]]:
    """Clips for each set of texts: one part of the speakers each; all test sets share theirs."""
    rows = [
        replace(row, id=f"{path}:{row.id}")
        for path in tables
        for row in read_csv(path, need_audio=True)
    ]
    if not rows:
        raise DataError("no clips.")
    train, validation, test = split_speakers(rows, 0.15, 0.25, recipe.seed)
    return {name: {"train": train, "validation": validation}.get(name, test) for name in texts}


def _sound(rows: list[Row], name: str, run: FusionRun, recipe: FusionRecipe) -> Floats:
    with row_bar(f"sound ({name})", len(rows)) as on_row:
        return audio_features(
            rows,
            audio_contract(recipe.n_mfcc),
            cache=run.cache or run.output / "features",
            on_row=on_row,
        )
