"""Models of the toolkit speech-emotion (NLP-UMUTeam/umuteam-speech-emotion), Spanish.

Written from the facts of its public source. Audio: the states of Wav2Vec2-BERT, projected and
averaged over time, make the audio vector. Text: the state of [CLS] of a BERT that was not
fine-tuned. The head (dense, tanh, output) reads the audio vector alone (``audio``), both side by
side (``concat``), their mean (``mean``), or the output of cross-attention heads (``multihead``).

Cross-attention there runs over the rows of a batch. For one utterance, which is how the toolkit
itself answers, it is a sequence of one: the softmax is 1, attention returns the value, and with
the residual each side is twice its value projection. All heads are one linear layer then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from emo_export.checkpoints.feature_extractor import check_feature_width, read_front_end
from emo_export.checkpoints.speech import SpeechCheckpoint
from emo_models.errors import CheckpointError, one_line
from emo_models.labels import LABELS
from emo_models.modeling.source import (
    CONFIG,
    WEIGHTS,
    checkpoint_directory,
    file_sha256,
    read_config,
)
from emo_runtime.bundle.front_ends import KaldiFbankSettings

Kind = Literal["audio", "concat", "mean", "multihead"]
# Audio and mean models have weights of the same shapes: the name of the class or of the model
# distinguishes them.
_CLASSES: dict[str, Kind] = {
    "CustomAudioClassification": "audio",
    "CustomAudioClassificationMean": "mean",
}
_NAMES: tuple[tuple[str, Kind], ...] = (("-mean-", "mean"), ("w2v-bert-emotion-", "audio"))

TEXT_ENCODER = "dccuchile/bert-base-spanish-wwm-uncased"
_PICKLED = "model.bin"
_MAX_FRAMES = 16_000
_ENCODER, _ATTENTION = "wav2vec2_bert.", "mult_attn_model."
# Training state: never used when answering.
_UNUSED = ("classifier.layernorm.", "wav2vec2_bert.masked_spec_embed")


@dataclass(frozen=True, eq=False)
class SpeechEmotionModel:
    """A checkpoint of the toolkit.

    Attributes:
        speech: The speech encoder; for ``audio`` with its head.
        fusion: audio [batch, width], text [batch, width] -> logits; None for ``audio``.
        labels: In class order.
        fusion_config: What a fusion checkpoint's config.json would say.
    """

    speech: SpeechCheckpoint
    fusion: nn.Module | None
    labels: tuple[str, ...]
    fusion_config: dict[str, Any]


def read_speech_emotion(source: str, kind: Kind | None = None) -> SpeechEmotionModel:
    """Read an audio or multimodal model of the toolkit.

    Args:
        source: A directory or a Hub id, with config.json, preprocessor_config.json, and model.bin
            or model.safetensors.
        kind: ``audio`` or ``mean``, where the names of class and model don't say which. The other
            kinds are recognized by their weights.

    Raises:
        CheckpointError: A file is missing, or the weights are not those of such a model.
    """
    directory = checkpoint_directory(source, also=[_PICKLED])
    values = read_config(directory)
    if values.get("model_type") != "wav2vec2-bert":
        raise CheckpointError(
            f"{directory}/{CONFIG}: model_type is {values.get('model_type')!r}; the models of "
            "speech-emotion are of type 'wav2vec2-bert'. Its text model goes with --text."
        )
    if values.get("add_adapter"):
        raise CheckpointError(f"{directory}/{CONFIG}: add_adapter is true, which is not supported.")
    path = _weights(directory)
    state = _read(path)
    config = Wav2Vec2BertConfig.from_dict(values)
    config._attn_implementation = "eager"
    front_end = read_front_end(directory, max_frames=_MAX_FRAMES)
    if not isinstance(front_end, KaldiFbankSettings):
        raise CheckpointError(f"{directory}: its feature extractor is not that of Wav2Vec2-BERT.")
    check_feature_width(directory, config, front_end)
    width = _width(path, state)
    kind = _kind(path, state, kind or _named_kind(source, values))
    labels = _labels(directory, values, state)
    encoder = _Encoder(config, width)
    _load(path, encoder, {k: v for k, v in state.items() if k.startswith((_ENCODER, "projector."))})
    head = _Head(width * 2 if kind == "concat" else width, len(labels))
    _load(path, head, _part(state, "classifier."))
    fusion = None if kind == "audio" else _Fusion(kind, head, _cross_attention(path, state, width))
    speech = SpeechCheckpoint(
        directory=directory,
        module=_Audio(encoder, head if kind == "audio" else None).eval(),
        front_end=front_end,
        width=width,
        labels=labels if kind == "audio" else (),
        sha256=file_sha256(path),
        config=values,
        pooling="mean",
    )
    details = {"audio_width": width, "hidden": width, "text_pooling": "cls"}
    return SpeechEmotionModel(speech, None if fusion is None else fusion.eval(), labels, details)


class _Encoder(nn.Module):
    """Features [batch, time, 160] to the audio vector [batch, width]."""

    def __init__(self, config: Wav2Vec2BertConfig, width: int) -> None:
        super().__init__()
        self.wav2vec2_bert = Wav2Vec2BertModel(config)
        self.projector = nn.Linear(config.hidden_size, width)
        self.layer_weights = (
            nn.Parameter(torch.ones(config.num_hidden_layers + 1))
            if config.use_weighted_layer_sum
            else None
        )

    def forward(self, features: Tensor) -> Tensor:
        if self.layer_weights is None:
            states = self.wav2vec2_bert(features).last_hidden_state
        else:
            layers = self.wav2vec2_bert(features, output_hidden_states=True).hidden_states
            states = (torch.stack(layers, -1) * self.layer_weights.softmax(-1)).sum(-1)
        vector: Tensor = self.projector(states).mean(1)
        return vector


class _Head(nn.Module):
    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, labels)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.out_proj(self.dense(features).tanh())
        return logits


class _Audio(nn.Module):
    """Features to ``(embedding, logits)``."""

    def __init__(self, encoder: _Encoder, head: _Head | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        vector = self.encoder(features)
        return vector, None if self.head is None else self.head(vector)


class _Fusion(nn.Module):
    def __init__(self, kind: Kind, head: _Head, attention: nn.Linear | None) -> None:
        super().__init__()
        self.kind = kind
        self.head = head
        self.attention = attention

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        if self.kind == "mean":
            joined = (audio + text) / 2
        else:
            joined = torch.cat([audio, text], 1)
            joined = joined if self.attention is None else self.attention(joined)
        logits: Tensor = self.head(joined)
        return logits


def _cross_attention(path: Path, state: Mapping[str, Tensor], width: int) -> nn.Linear | None:
    """Fold all cross-attention heads into one layer that reads [audio, text].

    Head h gives ``linear_out(2 Wv audio, 2 Wv_reverse text)``, ``proj`` reads them side by side.
    """
    parts = _part(state, _ATTENTION)
    if not parts:
        return None
    count = len({name.split(".")[1] for name in parts if name.startswith("heads.")})
    layer = nn.Linear(2 * width, width)
    try:
        weight, bias = torch.zeros(width, 2 * width), parts["proj.bias"].clone()
        for number in range(count):
            head = _part(parts, f"heads.{number}.")
            joined = parts["proj.weight"][:, number * width : (number + 1) * width]
            outer = joined @ head["linear_out.weight"]
            sides = (("Wv", slice(0, width)), ("Wv_reverse", slice(width, 2 * width)))
            for name, columns in sides:
                weight[:, columns] += 2 * outer[:, columns] @ head[f"{name}.weight"]
                bias += 2 * outer[:, columns] @ head[f"{name}.bias"]
            bias += joined @ head["linear_out.bias"]
        layer.load_state_dict({"weight": weight, "bias": bias})
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: its cross-attention does not have the expected weights: {one_line(error)}."
        ) from error
    return layer


def _width(path: Path, state: Mapping[str, Tensor]) -> int:
    """The width of the audio vector."""
    needed = ("projector.weight", "classifier.dense.weight", "classifier.out_proj.weight")
    if missing := [name for name in needed if name not in state]:
        raise CheckpointError(
            f"{path}: has no {', '.join(missing)}: not a model of speech-emotion. A classifier of "
            "transformers goes with --speech."
        )
    return len(state["projector.weight"])


def _kind(path: Path, state: Mapping[str, Tensor], named: Kind | None) -> Kind:
    width, total = len(state["projector.weight"]), state["classifier.dense.weight"].shape[1]
    if any(name.startswith(_ATTENTION) for name in state):
        return "multihead"
    if total == 2 * width:
        return "concat"
    if total != width:
        raise CheckpointError(
            f"{path}: the head reads {total} values, expected {width} (audio, mean) or {2 * width} "
            "(concat)."
        )
    if named is None:
        raise CheckpointError(
            f"{path}: an audio or a mean model, whose weights have the same shapes. Give "
            "--speech-emotion-kind audio or mean."
        )
    return named


def _named_kind(source: str, values: Mapping[str, Any]) -> Kind | None:
    """The kind by the name of the class in config.json, or by the name of the model."""
    names = values.get("architectures") or [""]
    if names[0] in _CLASSES:
        return _CLASSES[names[0]]
    return next((kind for part, kind in _NAMES if part in f"{source}-"), None)


def _labels(
    directory: Path, values: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[str, ...]:
    """Labels of config.json, or the toolkit's six where it names none."""
    count = len(state["classifier.out_proj.weight"])
    names = values.get("id2label") or {}
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    if len(labels) == count and not all(label.startswith("LABEL_") for label in labels):
        return labels
    if count != len(LABELS):
        raise CheckpointError(
            f"{directory}: the head has {count} outputs, {CONFIG} names {len(labels)} labels. The "
            f"Spanish models have {len(LABELS)}: write id2label into {CONFIG}."
        )
    return LABELS


def _weights(directory: Path) -> Path:
    """The weights that the toolkit ends up with: model.bin replaces model.safetensors."""
    for name in (_PICKLED, WEIGHTS):
        if (directory / name).is_file():
            return directory / name
    raise CheckpointError(f"{directory}: holds neither {_PICKLED} nor {WEIGHTS}.")


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.name == WEIGHTS:
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return {
            name: tensor.float() for name, tensor in state.items() if not name.startswith(_UNUSED)
        }
    except Exception as error:
        raise CheckpointError(f"{path}: can't be read as weights: {one_line(error)}") from error


def _load(path: Path, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = module.state_dict()
    kept = {name: value for name, value in own.items() if name.endswith("masked_spec_embed")}
    try:
        module.load_state_dict({**kept, **state})
    except RuntimeError as error:
        raise CheckpointError(f"{path}: does not fit {CONFIG}: {one_line(error)}") from error


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
