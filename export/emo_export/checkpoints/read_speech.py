"""Reader of speech checkpoints: selects the importer by config.json."""

from collections.abc import Mapping
from typing import Any

from emo_export.checkpoints.huggingface_speech import ARCHITECTURES, read_huggingface_speech
from emo_export.checkpoints.speech import SpeechCheckpoint, is_own_speech, read_own_speech
from emo_export.options import SpeechPooling
from emo_models.errors import CheckpointError
from emo_models.modeling.source import checkpoint_directory, read_config


def is_speech(config: Mapping[str, Any]) -> bool:
    """True if a config.json describes a speech encoder."""
    return is_own_speech(config) or config.get("model_type") in ARCHITECTURES


def read_speech(
    source: str, pooling: SpeechPooling | None = None, layers: int | None = None
) -> SpeechCheckpoint:
    """Read a speech encoder or audio classifier.

    Args:
        source: A directory or a Hub id.
        pooling: Pooling over time of an encoder without a head.
        layers: Number of layers to keep; None: all.

    Raises:
        CheckpointError: The checkpoint is incomplete, or its kind is not supported.
    """
    directory = checkpoint_directory(source)
    config = read_config(directory)
    if is_own_speech(config):
        if pooling is not None or layers is not None:
            raise CheckpointError(
                f"{directory}: --pooling and --layers are for encoders without a head; this "
                "network has its own. Leave them out."
            )
        return read_own_speech(directory)
    return read_huggingface_speech(directory, config, pooling, layers)
