"""Hugging Face audio classifiers, and speech encoders without a head."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
)
from transformers.modeling_outputs import BaseModelOutput

from emo_export.checkpoints.feature_extractor import check_feature_width, read_front_end
from emo_export.checkpoints.speech import SpeechCheckpoint
from emo_export.options import SpeechPooling
from emo_models.errors import CheckpointError
from emo_models.modeling.load import quiet, read_weights, refuse_lost_weights, refuse_regression
from emo_models.modeling.source import CONFIG, read_config, weights_sha256
from emo_runtime.bundle.front_ends import FrontEndSettings, LogMelSettings

ARCHITECTURES = (
    "wav2vec2",
    "hubert",
    "wavlm",
    "wav2vec2-bert",
    "whisper",
    "audio-spectrogram-transformer",
)
_CLASSIFIERS = ("ForSequenceClassification", "ForAudioClassification")
_HEADS = frozenset(
    {
        "decoder", "lm_head", "masked_spec_embed", "proj_out", "project_hid", "project_q",
        "quantizer", "final_proj", "classifier", "projector", "label_embeddings_concat",
    }
)  # fmt: skip


def read_huggingface_speech(
    directory: Path,
    values: Mapping[str, Any],
    pooling: SpeechPooling | None,
    layers: int | None,
) -> SpeechCheckpoint:
    """Read an audio classifier (logits), or an encoder with ``pooling`` (embedding).

    Args:
        directory: Directory of the checkpoint.
        values: Its config.json.
        pooling: Pooling of the last hidden states over time; None for a classifier.
        layers: Number of encoder layers to keep; None: all.

    Raises:
        CheckpointError: The checkpoint is unsupported, incomplete or inconsistent.
    """
    _refuse_other_kinds(directory, values)
    config = CONFIG_MAPPING[values["model_type"]].from_dict(dict(values))
    front_end = read_front_end(directory)
    check_feature_width(directory, config, front_end)
    is_classifier = str(_class_name(values)).endswith(_CLASSIFIERS)
    if pooling is None and not is_classifier:
        raise CheckpointError(
            f"{directory}: {_class_name(values) or values['model_type']} has no classification "
            "head. Give --pooling mean or mean_std to use it as the speech encoder of --fusion."
        )
    if pooling is None:
        if layers is not None:
            raise CheckpointError(
                f"{directory}: --layers is for encoders; the head of this classifier reads its "
                "last layer. Leave it out, or give --pooling."
            )
        return _classifier(directory, dict(values), config, front_end)
    return _encoder(directory, config, front_end, pooling, layers)


def _classifier(
    directory: Path, values: dict[str, Any], config: Any, front_end: FrontEndSettings
) -> SpeechCheckpoint:
    refuse_regression(directory, values, config)
    network = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING[type(config)]
    model, info = read_weights(network, directory, config, attn_implementation="eager")
    refuse_lost_weights(directory, info, model, unused_parts={"masked_spec_embed"})
    _fold_weight_norm(model)
    multi_label = values.get("problem_type") == "multi_label_classification"
    return SpeechCheckpoint(
        directory=directory,
        module=_Classifier(model).eval(),
        front_end=front_end,
        width=None,
        labels=tuple(config.id2label[index] for index in sorted(config.id2label)),
        sha256=weights_sha256(directory),
        config=values,
        activation="sigmoid" if multi_label else "softmax",
    )


def _encoder(
    directory: Path,
    config: Any,
    front_end: FrontEndSettings,
    pooling: SpeechPooling,
    layers: int | None,
) -> SpeechCheckpoint:
    model, info = read_weights(
        MODEL_MAPPING[type(config)], directory, config, attn_implementation="eager"
    )
    refuse_lost_weights(directory, info, model, unused_parts=_HEADS)
    if layers is not None:
        _keep_layers(directory, model, layers)
    _fold_weight_norm(model)
    if isinstance(front_end, LogMelSettings):
        front_end = msgspec.structs.replace(front_end, pad_s=None, beyond_max="windows")
    width = int(config.hidden_size) * (2 if pooling == "mean_std" else 1)
    return SpeechCheckpoint(
        directory=directory,
        module=_Pooled(model, pooling).eval(),
        front_end=front_end,
        width=width,
        labels=(),
        sha256=weights_sha256(directory),
        config=read_config(directory),
        pooling=pooling,
    )


class _Classifier(nn.Module):
    """Features to ``(None, logits)``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, self.model(features).logits


class _Pooled(nn.Module):
    """Features to ``(embedding, None)``: mean, and standard deviation, over time."""

    def __init__(self, model: nn.Module, pooling: SpeechPooling) -> None:
        super().__init__()
        is_whisper = model.config.model_type == "whisper"  # type: ignore[union-attr]
        self.encoder: nn.Module = _UnpaddedWhisper(model.encoder) if is_whisper else model
        self.pooling = pooling

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, None]:
        states = self.encoder(features).last_hidden_state
        mean = states.mean(1)
        if self.pooling == "mean":
            return mean, None
        variance = (states - mean.unsqueeze(1)).square().mean(1)
        return torch.cat([mean, variance.sqrt()], 1), None


class _UnpaddedWhisper(nn.Module):
    """Whisper's encoder on sound of any length: the positions of its first frames are used.

    ``WhisperEncoder`` reads 30 s only. Padded, most of the states and of the time would be silence.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: torch.Tensor) -> BaseModelOutput:
        encoder = self.encoder
        states = functional.gelu(encoder.conv1(features))
        states = functional.gelu(encoder.conv2(states)).transpose(1, 2)
        states = states + encoder.embed_positions.weight[: states.shape[1]]
        for layer in encoder.layers:
            states = layer(states, None, None)[0]
        return BaseModelOutput(encoder.layer_norm(states))


def _refuse_other_kinds(directory: Path, values: Mapping[str, Any]) -> None:
    kind, name = values.get("model_type"), str(_class_name(values))
    where = f"{directory}/{CONFIG}"
    if kind not in ARCHITECTURES:
        raise CheckpointError(
            f"{where}: model_type {kind!r} is not a supported speech encoder. Supported: "
            f"{', '.join(ARCHITECTURES)}, emo-speech."
        )
    if name.endswith("ForCTC"):
        raise CheckpointError(
            f"{where}: {name} is a speech recognizer (CTC), its outputs are characters. Give an "
            "audio classifier."
        )
    adapters = [path.name for path in directory.glob("adapter*.*")]
    if values.get("adapter_attn_dim") is not None or adapters:
        found = adapters[0] if adapters else "adapter_attn_dim"
        raise CheckpointError(
            f"{directory}: has an adapter or a language-specific head ({found}), which is not "
            "supported. Merge the adapter into the weights first."
        )
    if values.get("add_adapter"):
        raise CheckpointError(
            f"{where}: add_adapter is true: an adapter that shortens the sequence is not "
            "supported. Give a model without it."
        )


def _keep_layers(directory: Path, model: Any, count: int) -> None:
    encoder = model.encoder
    name = "layer" if hasattr(encoder, "layer") else "layers"
    layers = getattr(encoder, name)
    if not 1 <= count <= len(layers):
        raise CheckpointError(f"{directory}: --layers {count}: it has {len(layers)} layers.")
    setattr(encoder, name, layers[:count])


def _fold_weight_norm(model: nn.Module) -> None:
    """Compute the weights of positional convolutions once (weight norm is for training)."""
    with quiet():
        for module in model.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
            elif hasattr(module, "weight_g"):
                nn.utils.remove_weight_norm(module)


def _class_name(values: Mapping[str, Any]) -> str | None:
    names = values.get("architectures") or [None]
    return None if names[0] is None else str(names[0])
