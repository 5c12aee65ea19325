"""Predictions of a checkpoint or of a bundle on labelled rows, for one and the same report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from emo_models.checkpoint import (
    ARCHITECTURE,
    WEIGHTS,
    file_sha256,
    load_encoder,
    load_fusion,
    load_text,
    read_config,
)
from emo_models.data.corpora import Row
from emo_models.data.features import audio_features, text_features
from emo_models.errors import CheckpointError, DataError
from emo_models.evaluation.metrics import Floats, softmax
from emo_models.modeling.fusion import AUDIO_ONLY, BOTH
from emo_models.modeling.inference import predict_logits, token_ids
from emo_runtime import EmotionRecognizer, Utterance
from emo_runtime.bundle.manifest import MANIFEST_NAME, Audio, TaskName
from emo_runtime.errors import EmoError


@dataclass(frozen=True)
class Predictions:
    """Probabilities [rows, labels] in the order of ``labels``."""

    probabilities: Floats
    labels: tuple[str, ...]


def predict_bundle(
    bundle: Path,
    rows: Sequence[Row],
    task: TaskName,
    *,
    variant: Any = None,
    on_row: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """What the runtime answers.

    Raises:
        DataError: a row that gets no answer; names it.
    """
    with EmotionRecognizer.open(bundle, tasks=[task], variant=variant) as recognizer:
        labels = recognizer.labels
        scores = np.empty((len(rows), len(labels)))
        utterances = (
            Utterance(
                text=None if task == "audio" else row.text,
                audio=None if task == "text" else row.audio,
                task=task,
            )
            for row in rows
        )
        for index, answer in enumerate(recognizer.recognize_each(utterances)):
            if isinstance(answer, EmoError):
                raise DataError(f"{rows[index].where}: {answer}")
            scores[index] = [answer.scores[label] for label in labels]
            on_row(index + 1)
    return Predictions(scores, labels)


def predict_text_checkpoint(directory: Path, rows: Sequence[Row]) -> Predictions:
    """What a Task 1 checkpoint answers in PyTorch."""
    model, tokenizer = load_text(directory)
    config = read_config(directory)
    limit = int(model.config.max_position_embeddings)
    given = [row.text or "" for row in rows]
    if config.get("strip_text", False):
        given = [text.strip() for text in given]
    logits = predict_logits(model, tokenizer, token_ids(tokenizer, given, limit))
    names: dict[int, str] = model.config.id2label
    labels = tuple(names[index] for index in sorted(names))
    return Predictions(softmax(logits, float(config.get("temperature", 1.0))), labels)


@torch.no_grad()
def predict_fusion_checkpoint(
    directory: Path, encoder: Path, rows: Sequence[Row], task: TaskName
) -> Predictions:
    """What a Task 2 checkpoint answers in PyTorch, on text features of ``encoder``.

    Raises:
        CheckpointError: another encoder than it was trained on, or sound alone asked of a network
            that needs both.
    """
    network = load_fusion(directory)
    expected = network.details.encoder_sha256
    if expected and file_sha256(encoder / WEIGHTS) != expected:
        raise CheckpointError(
            f"{encoder}: is not the encoder that {directory} was trained on (another "
            f"{WEIGHTS}). Give that one with --encoder."
        )
    if task == "audio" and not network.config.present_input:
        raise CheckpointError(
            f"{directory}: needs sound and text. Train it with --drop-audio / --drop-text to have "
            "it answer with one of them."
        )
    audio = audio_features(rows, msgspec.convert(network.details.audio, Audio))
    if task == "audio":
        text = np.zeros((len(rows), network.config.hidden), dtype=np.float32)
    else:
        text = text_features(rows, *load_encoder(encoder))
    kind = AUDIO_ONLY if task == "audio" else BOTH
    present = torch.tensor([kind] * len(rows)) if network.config.present_input else None
    logits = network(torch.from_numpy(audio), torch.from_numpy(text), present).numpy()
    return Predictions(softmax(logits, network.details.temperature), network.config.labels)


def predict(
    model: Path,
    rows: Sequence[Row],
    task: TaskName,
    *,
    encoder: Path | None = None,
    variant: Any = None,
    on_row: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Probabilities of whatever ``model`` is: a bundle, a text or a fusion checkpoint.

    Raises:
        CheckpointError: it is none of them, or doesn't do the task.
    """
    if (model / MANIFEST_NAME).is_file():
        return predict_bundle(model, rows, task, variant=variant, on_row=on_row)
    if read_config(model).get("architecture") == ARCHITECTURE:
        if task == "text":
            raise CheckpointError(f"{model}: is a fusion checkpoint. Ask it for fusion or audio.")
        if encoder is None:
            raise CheckpointError(f"{model}: a fusion checkpoint needs its encoder: --encoder DIR.")
        return predict_fusion_checkpoint(model, encoder, rows, task)
    if task != "text":
        raise CheckpointError(f"{model}: is a text checkpoint. It does the task text only.")
    return predict_text_checkpoint(model, rows)
