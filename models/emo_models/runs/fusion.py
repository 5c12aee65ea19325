"""``emo-train fusion``: from tables to a fusion checkpoint with its metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import click
import msgspec
import numpy as np
import torch
from transformers.utils import logging as transformers_logging

from emo_models.checkpoint import save_fusion
from emo_models.data.datasets import Dataset, check_classes, missing_classes
from emo_models.data.features import audio_contract, bandwidth
from emo_models.data.fusion_data import Features, FusionData, FusionRun, fusion_data
from emo_models.data.pairs import Pairs, joined
from emo_models.data.speech_embeddings import SpeechSource, read_speech_source
from emo_models.errors import DataError
from emo_models.evaluation.calibration import fit_temperature
from emo_models.evaluation.report import report_logits
from emo_models.labels import label_key
from emo_models.modeling.fusion import AUDIO_ONLY, BOTH, TEXT_ONLY, FusionNetwork, TrainedFusion
from emo_models.modeling.late_fusion import LateFusionNetwork
from emo_models.modeling.load import load_encoder, load_text
from emo_models.recipes import FusionRecipe
from emo_models.runs.progress import epoch_bar
from emo_models.runs.state import begin_run, finish_run, rows_sha256
from emo_models.runs.tables import write_clips, write_pairs
from emo_models.runs.text import CHECKPOINT, draw
from emo_models.training.fusion import predict_fusion, train_fusion
from emo_models.training.late_fusion import audio_weight_loss, fit_audio_weight, late_network
from emo_models.training.loop import History, validation_figure

KNOWN_CLIPS = (
    "figures of clips that the speech network was trained on are too good: give --clips that it "
    "was not trained on to measure."
)
# Number of clips paired with each label-matched validation text to fit the temperature.
_CALIBRATION_PAIRINGS = 10


def run_fusion(
    run: FusionRun,
    dataset: Dataset,
    recipe: FusionRecipe,
    on_ready: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train, calibrate, evaluate and write ``output/checkpoint``; return its metrics.

    Arguments as for ``run_text``. Without ``--labels``, an encoder that is a classifier of the same
    labels determines the class order: a bundle needs one order for both.

    Raises:
        DataError: bad clips, unreadable sound, or a state of another run.
        CheckpointError: the encoder is incomplete.
    """
    transformers_logging.set_verbosity_error()
    check_classes(dataset)
    encoder = load_encoder(run.encoder)
    speech = None if run.speech_encoder is None else read_speech_source(run.speech_encoder)
    if not run.options.get("labels"):
        dataset = replace(dataset, labels=_label_order(dataset.labels, encoder.config))
    labels = dataset.labels
    identity = {
        "options": dict(run.options),
        "encoder weights": encoder.sha256,
        "speech weights": "" if speech is None else speech.sha256,
        "labels": list(labels),
        "rows": rows_sha256(dataset.train),
    }
    late = _late_network(run, recipe, speech, labels) if recipe.late else None
    identity = begin_run(run.output, identity, on_ready)
    for note in dataset.notes:
        click.echo(f"Note: {note}", err=True)
    data = fusion_data(run, dataset, recipe, encoder, speech)
    notes = [*dataset.notes, *missing_classes(data.validation.text_rows, labels, "validation")]
    notes += [] if speech is None else [KNOWN_CLIPS]
    network, history = _trained(run, recipe, data, late, identity)
    network.half().float()
    pairs = data.validation.pairs(0)
    both = BOTH if recipe.late else None
    held = predict_fusion(network, data.validation, pairs, both)
    more = joined([data.validation.pairs(number) for number in range(_CALIBRATION_PAIRINGS)])
    network.details = TrainedFusion(
        # A late fusion network has the temperatures of its parts.
        temperature=1.0
        if isinstance(network, LateFusionNetwork)
        else fit_temperature(predict_fusion(network, data.validation, more), more.labels),
        encoder_sha256=encoder.sha256,
        audio=_audio(data, recipe) if speech is None else {},
        speech_sha256="" if speech is None else speech.sha256,
    )
    if recipe.present_input and isinstance(network, FusionNetwork):
        _calibrate_alone(network, data.validation)
    metrics: dict[str, Any] = {
        "task": "fusion",
        "pairs": data.note,
        "labels": list(labels),
        "recipe": asdict(recipe),
        "notes": notes,
        "rows": data.counts,
        "parameters": sum(p.numel() for p in network.parameters()),
        "best_epoch": history.best_epoch,
        "epochs": {"loss": history.losses, "validation": history.scores},
        "temperature": network.details.temperature,
        "validation": report_logits(pairs.labels, held, network.details.temperature, labels=labels),
        "test": {},
    }
    for name, features in data.tests.items():
        metrics["test"] |= _reports(name, network, features)
        if name not in dataset.tests:
            continue
        pairs = features.pairs(0)
        write_pairs(run.output, name, pairs, features.text_rows, features.audio_rows)
        if recipe.present_input:
            write_clips(run.output, name, features.audio_rows)
    save_fusion(run.output / CHECKPOINT, network, metrics=metrics)
    draw(run.output, metrics, "Task 2 confusion matrix")
    finish_run(run.output)
    return metrics


def _late_network(
    run: FusionRun, recipe: FusionRecipe, speech: SpeechSource | None, labels: tuple[str, ...]
) -> LateFusionNetwork:
    if speech is None:
        raise DataError("--variant late needs --speech-encoder.")
    network = late_network(speech, load_text(run.encoder), labels)
    network.weight[0] = recipe.audio_weight or 1.0
    return network


def _trained(
    run: FusionRun,
    recipe: FusionRecipe,
    data: FusionData,
    late: LateFusionNetwork | None,
    identity: Mapping[str, Any],
) -> tuple[FusionNetwork | LateFusionNetwork, History]:
    """Train a network, or fit the weight of a late fusion network."""
    if late is not None:
        pairs = data.train.pairs(0)
        if recipe.audio_weight:
            loss = audio_weight_loss(late, data.train, pairs, recipe.audio_weight)
        else:
            loss = fit_audio_weight(late, data.train, pairs)
        held = data.validation.pairs(0)
        predicted = predict_fusion(late, data.validation, held, BOTH).argmax(axis=1)
        score = validation_figure(held.labels, predicted, data.train.labels, recipe.best_by)
        return late, History([loss], [score], 1)
    with epoch_bar("epoch", recipe.epochs) as on_epoch:
        return train_fusion(
            data.train,
            data.validation,
            recipe,
            run=run.output,
            identity=dict(identity),
            on_epoch=on_epoch,
        )


def _audio(data: FusionData, recipe: FusionRecipe) -> dict[str, Any]:
    contract = msgspec.structs.replace(
        audio_contract(recipe.n_mfcc), bandwidth_hz=bandwidth(data.train.audio_rows)
    )
    settings: dict[str, Any] = msgspec.to_builtins(contract)
    return settings


def _label_order(labels: tuple[str, ...], config: Mapping[str, Any]) -> tuple[str, ...]:
    names = config.get("id2label") or {}
    order = tuple(names[key] for key in sorted(names, key=int))
    if {label_key(label) for label in order} == {label_key(label) for label in labels}:
        return order
    return labels


def _calibrate_alone(network: FusionNetwork, validation: Features) -> None:
    """Set ``confidence`` so that the temperature also fits audio alone and text alone."""
    temperature = network.details.temperature
    alone = ((_each_clip(validation), AUDIO_ONLY), (validation.pairs(0), TEXT_ONLY))
    found = [
        temperature
        / fit_temperature(predict_fusion(network, validation, pairs, kind), pairs.labels)
        for pairs, kind in alone
    ]
    network.confidence.copy_(torch.tensor(found).half())


def _each_clip(features: Features) -> Pairs:
    """Return every clip once, for audio alone; the paired text has no effect."""
    clips = np.arange(len(features.audio))
    return Pairs(clips, np.zeros_like(clips), features.audio_labels)


def _reports(
    name: str, network: FusionNetwork | LateFusionNetwork, features: Features
) -> dict[str, Any]:
    """Report on both modalities together and, if the network supports it, on each alone."""
    temperature, labels = network.details.temperature, features.labels
    pairs = features.pairs(0)
    if not network.config.present_input:
        return {
            name: report_logits(
                pairs.labels, predict_fusion(network, features, pairs), temperature, labels=labels
            )
        }
    alone = _each_clip(features)
    kinds = {
        "": (pairs, BOTH),
        "_text_only": (pairs, TEXT_ONLY),
        "_audio_only": (alone, AUDIO_ONLY),
    }
    return {
        name + kind: report_logits(
            chosen.labels,
            predict_fusion(network, features, chosen, present),
            temperature,
            labels=labels,
        )
        for kind, (chosen, present) in kinds.items()
    }
