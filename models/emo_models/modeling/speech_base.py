"""Speech checkpoints that hold only the tensors that training changed.

Fine-tuning the last layers of a pretrained encoder leaves the others as they were. A checkpoint
with a base names the encoder that they come from, and the hash that they must have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from emo_models.errors import CheckpointError, one_line
from emo_models.modeling.source import WEIGHTS, checkpoint_directory

_FOLDER = "base"
_PREFIX = "encoder."


@dataclass(frozen=True)
class Base:
    """The pretrained encoder that a checkpoint's missing tensors come from.

    Attributes:
        name: Hub id, such as ``openai/whisper-base``.
        sha256: SHA-256 over the names and the float16 values of the tensors that are taken.
    """

    name: str
    sha256: str


def unchanged_tensors(state: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that have the same float16 values in ``base``."""
    return sorted(
        name
        for name, tensor in state.items()
        if name in base
        and base[name].shape == tensor.shape
        and torch.equal(base[name].half(), tensor.half())
    )


def tensors_sha256(state: Mapping[str, Tensor], names: Iterable[str]) -> str:
    """Return the SHA-256 over the names and the float16 values of some tensors."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode() + b"\0")
        digest.update(state[name].half().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def read_base(directory: Path, base: Base, names: Iterable[str]) -> dict[str, Tensor]:
    """Read the tensors ``names`` of the base of the checkpoint in ``directory``.

    The base is the folder ``base`` in the checkpoint's directory, else the Hub id (or its copy in
    the Hub client's cache).

    Raises:
        CheckpointError: The base is not available, or its tensors are not the expected ones.
    """
    wanted = sorted(names)
    folder = directory / _FOLDER
    found = folder if folder.is_dir() else _from_hub(directory, base)
    try:
        state = read_encoder(found)
        taken = {name: state[name].float() for name in wanted}
    except (OSError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"{found}: not the weights of {base.name} ({one_line(error)}). Put a copy of its "
            f"directory, or a link to one, at {folder}."
        ) from None
    if tensors_sha256(taken, wanted) != base.sha256:
        raise CheckpointError(
            f"{found}: its weights are not those that {directory} was trained from ({base.name}, "
            f"{base.sha256[:12]}). Put the right ones at {folder}."
        )
    return taken


def read_encoder(directory: Path) -> dict[str, Tensor]:
    """Read the encoder's weights of a Whisper checkpoint, with names that begin ``encoder.``.

    Checkpoints of the whole model, as those on the Hub, have the names ``model.encoder.``.

    Raises:
        OSError: There is no model.safetensors.
    """
    state = {
        name.removeprefix("model."): tensor
        for name, tensor in load_file(directory / WEIGHTS).items()
    }
    return {name: tensor for name, tensor in state.items() if name.startswith(_PREFIX)}


def _from_hub(directory: Path, base: Base) -> Path:
    try:
        return checkpoint_directory(base.name)
    except CheckpointError as error:
        raise CheckpointError(
            f"{directory}: needs the weights of {base.name}, which are not available ({error}). "
            f"Put a copy of its directory, or a link to one, at {directory / _FOLDER}."
        ) from None


def encoder_names(names: Iterable[str]) -> list[str]:
    """Return the tensor names that can come from a base: those of the encoder."""
    return [name for name in names if name.startswith(_PREFIX)]
