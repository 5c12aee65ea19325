"""Predictions of a checkpoint or a bundle on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from emo_models.checkpoint import ARCHITECTURE, SPEECH_MODEL_TYPE, load_fusion
from emo_models.data.corpora import Row
from emo_models.data.features import audio_features, text_features
from emo_models.errors import CheckpointError
from emo_models.evaluation.bundle import Predictions, find_bundle, predict_bundle
from emo_models.evaluation.metrics import activate, softmax
from emo_models.modeling.fusion import AUDIO_ONLY, BOTH
from emo_models.modeling.inference import predict_logits, token_ids
from emo_models.modeling.load import load_encoder, load_text
from emo_models.modeling.source import checkpoint_directory, read_config
from emo_runtime.bundle.front_ends import MeanMfccSettings
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.text.preparation import prepare


def predict_text_checkpoint(source: str | Path, rows: Sequence[Row]) -> Predictions:
    """Return predictions of a text classifier in PyTorch; ``source`` is a directory or Hub id."""
    checkpoint = load_text(source)
    given = [prepare(row.text or "", checkpoint.preparation) for row in rows]
    ids = token_ids(checkpoint.tokenizer, given, checkpoint.max_tokens)
    logits = predict_logits(checkpoint.module, checkpoint.tokenizer, ids)
    probabilities = activate(logits, checkpoint.temperature, multi_label=checkpoint.multi_label)
    return Predictions(probabilities, checkpoint.labels, checkpoint.multi_label)


@torch.no_grad()
def predict_fusion_checkpoint(
    directory: Path, encoder: str | Path, rows: Sequence[Row], task: TaskName
) -> Predictions:
    """Return the predictions of a fusion network in PyTorch, on text features of ``encoder``.

    Raises:
        CheckpointError: not the encoder that the network was trained on, audio-only rows for a
            network that needs both modalities, or a network of speech embeddings.
    """
    network = load_fusion(directory)
    if network.details.speech_sha256:
        raise CheckpointError(
            f"{directory}: reads the embeddings of a speech network. Export both with emo-export "
            "and evaluate the bundle."
        )
    expected = network.details.encoder_sha256
    read = load_encoder(encoder)
    if expected and read.sha256 != expected:
        raise CheckpointError(
            f"{encoder}: is not the encoder that {directory} was trained on (sha256 of the "
            f"weights {read.sha256[:12]}..., expected {expected[:12]}...). Give that one with "
            "--encoder."
        )
    if task == "audio" and not network.config.present_input:
        raise CheckpointError(
            f"{directory}: needs sound and text. Train it with --drop-audio / --drop-text to have "
            "it answer with one of them."
        )
    audio = audio_features(rows, msgspec.convert(network.details.audio, MeanMfccSettings))
    if task == "audio":
        text = np.zeros((len(rows), network.config.hidden), dtype=np.float32)
    else:
        text = text_features(rows, read)
    kind = AUDIO_ONLY if task == "audio" else BOTH
    present = torch.tensor([kind] * len(rows)) if network.config.present_input else None
    logits = network(torch.from_numpy(audio), torch.from_numpy(text), present).numpy()
    return Predictions(softmax(logits, network.details.temperature), network.config.labels)


def predict(
    model: str | Path,
    rows: Sequence[Row],
    task: TaskName,
    *,
    encoder: str | Path | None = None,
    variant: Any = None,
    on_row: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Return the probabilities of a bundle, a text checkpoint or a fusion checkpoint.

    ``model`` and ``encoder`` are directories or Hub ids; ``model`` may be the name of an installed
    bundle.

    Raises:
        CheckpointError: ``model`` is none of them, or does not support the task.
    """
    directory = find_bundle(model) or checkpoint_directory(model)
    if find_bundle(directory) is not None:
        return predict_bundle(directory, rows, task, variant=variant, on_row=on_row)
    config = read_config(directory)
    if config.get("model_type") == SPEECH_MODEL_TYPE:
        raise CheckpointError(
            f"{model}: is a speech network. Export it with emo-export and evaluate the bundle."
        )
    if config.get("architecture") == ARCHITECTURE:
        if task == "text":
            raise CheckpointError(f"{model}: is a fusion checkpoint. Ask it for fusion or audio.")
        if encoder is None:
            raise CheckpointError(f"{model}: a fusion checkpoint needs its encoder: --encoder DIR.")
        return predict_fusion_checkpoint(directory, encoder, rows, task)
    if task != "text":
        raise CheckpointError(f"{model}: is a text checkpoint. It does the task text only.")
    return predict_text_checkpoint(directory, rows)
