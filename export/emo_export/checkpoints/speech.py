"""Speech checkpoints: an encoder of sound with its front end, as one value for every importer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import nn

from emo_models.checkpoint import SPEECH_MODEL_TYPE, load_speech
from emo_models.errors import CheckpointError
from emo_models.modeling.source import CONFIG, read_config, weights_sha256
from emo_runtime.bundle.front_ends import FrontEndSettings, WaveformSettings
from emo_runtime.bundle.manifest import Activation, Pooling

Floats = NDArray[np.float32]
Output = Literal["logits", "embedding"]


@dataclass(frozen=True)
class Adaptation:
    """Speaker adaptation: population mean [width] and its weight as a number of utterances."""

    mean: Floats
    weight: float


@dataclass(frozen=True, eq=False)
class SpeechCheckpoint:
    """A speech encoder with or without a classification head.

    Attributes:
        directory: Where it was read from.
        module: Features [batch, ...] or samples [batch, time] to ``(embedding, logits)``, each of
            them None where the checkpoint does not have it; float32, evaluation mode.
        front_end: Settings of the front end that it was trained with.
        width: Width of the embedding; None for a checkpoint without one.
        labels: Labels of the head in class order; empty for a checkpoint without one.
        sha256: SHA-256 of the weights.
        config: config.json.
        pooling: How states become the embedding.
        adaptation: Speaker adaptation that it was trained for.
        activation: Of the head.
    """

    directory: Path
    module: nn.Module
    front_end: FrontEndSettings
    width: int | None
    labels: tuple[str, ...]
    sha256: str
    config: dict[str, Any]
    pooling: Pooling | None = None
    adaptation: Adaptation | None = None
    activation: Activation = "softmax"

    @property
    def input_name(self) -> str:
        """Name of the graph's input."""
        return "samples" if isinstance(self.front_end, WaveformSettings) else "features"

    @property
    def temperature(self) -> float:
        """Divisor of the logits before the activation."""
        return float(self.config.get("temperature", 1.0))


def is_own_speech(config: Mapping[str, Any]) -> bool:
    """True if a config.json describes a speech network of this project."""
    return config.get("model_type") == SPEECH_MODEL_TYPE


def read_own_speech(directory: Path) -> SpeechCheckpoint:
    """Read a speech network of this project: config.json and model.safetensors.

    Raises:
        CheckpointError: A file is missing, or the weights don't fit config.json.
    """
    config = read_config(directory)
    module = load_speech(directory)
    shape = module.config
    weight = config.get("adaptation_weight")
    adaptation = None
    if weight is not None:
        adaptation = Adaptation(module.population_mean.numpy().copy(), float(weight))
    return SpeechCheckpoint(
        directory=directory,
        module=module,
        front_end=front_end_settings(config, directory),
        width=shape.embedding_width,
        labels=shape.labels,
        sha256=weights_sha256(directory),
        config=config,
        pooling="mean",
        adaptation=adaptation,
    )


def front_end_settings(config: Mapping[str, Any], directory: Path) -> FrontEndSettings:
    """Return the front end that a config.json of this project describes.

    Raises:
        CheckpointError: There is none, or it contradicts itself.
    """
    where = f"{directory}/{CONFIG}"
    if "front_end" not in config:
        raise CheckpointError(
            f"{where}: has no 'front_end'. Give the settings that the network was trained with."
        )
    try:
        settings: FrontEndSettings = msgspec.convert(config["front_end"], FrontEndSettings)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{where}: front_end: {error}.") from error
    return settings
