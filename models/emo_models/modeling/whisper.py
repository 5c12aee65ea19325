"""The encoder of a pretrained Whisper checkpoint, or a new one of the same architecture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from emo_models.errors import CheckpointError, one_line
from emo_models.modeling.source import WEIGHTS, checkpoint_directory, read_config
from emo_models.modeling.speech import SpeechConfig, SpeechEncoder
from emo_models.modeling.speech_base import read_encoder


@dataclass(frozen=True, eq=False)
class PretrainedWhisper:
    """The first layers of a Whisper encoder, and the weights that they come from."""

    encoder: SpeechEncoder
    weights: dict[str, Tensor]


def new_encoder(
    *, layers: int, width: int, heads: int, labels: tuple[str, ...], seed: int
) -> PretrainedWhisper:
    """Return an encoder with random weights, to be trained from scratch.

    Raises:
        CheckpointError: The width is not a multiple of the number of heads.
    """
    try:
        shape = SpeechConfig(
            width=width,
            heads=heads,
            inner=4 * width,
            layers=layers,
            pooled_layers=_pooled(layers),
            labels=labels,
        )
    except ValueError as error:
        raise CheckpointError(f"{error}.") from None
    encoder = SpeechEncoder(shape)
    encoder.initialize(seed)
    return PretrainedWhisper(encoder.eval(), dict(encoder.state_dict()))


def load_whisper_encoder(
    source: str | Path, *, layers: int, labels: tuple[str, ...]
) -> PretrainedWhisper:
    """Read the first layers of a Whisper checkpoint; the last two of them make the embedding.

    Args:
        source: Directory, or Hub id such as ``openai/whisper-base``.
        layers: Number of layers.
        labels: Labels of the head that will be trained.

    Raises:
        CheckpointError: Not available, not Whisper, incomplete, or with fewer layers.
    """
    directory = checkpoint_directory(source)
    config = read_config(directory)
    if config.get("model_type") != "whisper":
        raise CheckpointError(
            f"{directory}/config.json: model_type is {config.get('model_type')!r}, expected "
            "'whisper'. Give a Whisper checkpoint."
        )
    try:
        if not layers <= config["encoder_layers"]:
            raise CheckpointError(
                f"{directory}: has {config['encoder_layers']} encoder layers. Give --layers "
                f"{config['encoder_layers']} or fewer."
            )
        shape = SpeechConfig(
            n_mels=config["num_mel_bins"],
            width=config["d_model"],
            heads=config["encoder_attention_heads"],
            inner=config["encoder_ffn_dim"],
            positions=config["max_source_positions"],
            layers=layers,
            pooled_layers=_pooled(layers),
            labels=labels,
        )
        encoder = SpeechEncoder(shape)
        weights = read_encoder(directory)
        encoder.load_whisper(weights)
    except (KeyError, ValueError, TypeError, RuntimeError, OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{directory}: not a complete Whisper checkpoint with {WEIGHTS}: {one_line(error)}"
        ) from None
    return PretrainedWhisper(encoder.eval(), weights)


def _pooled(layers: int) -> tuple[int, ...]:
    """The last two layers."""
    return tuple(range(max(1, layers - 1), layers + 1))
