"""Checkpoints on disk: Hugging Face directories for text, safetensors + config.json for fusion.

Weights are stored in float16 and computed with in float32. A directory is written beside its
place and then renamed into it, so that a reader sees the old checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from emo_models.atomic import atomic_text
from emo_models.errors import CheckpointError
from emo_models.modeling.fusion import DECISIONS, WIRING, FusionConfig, FusionNetwork, TrainedFusion
from emo_models.modeling.text_classifier import CLASSES, POOLING_DECISIONS

WEIGHTS = "model.safetensors"
ARCHITECTURE = "emo-fusion"


def load_text(directory: Path | str) -> tuple[Any, Any]:
    """A text classifier (float32, evaluation mode) and its tokenizer.

    The class follows ``pooling`` in config.json: ``cls`` (the default) is stock BERT, or whatever
    classifier the model type has; ``mean`` is this package's own.

    Raises:
        CheckpointError: not a text checkpoint.
    """
    directory = Path(directory)
    config = read_config(directory)
    pooling = config.get("pooling", "cls")
    if pooling not in CLASSES:
        raise CheckpointError(
            f"{directory}/config.json: pooling is {pooling!r}; expected one of: "
            f"{', '.join(CLASSES)}."
        )
    network = CLASSES[pooling]
    if config.get("model_type") != "bert":
        network = AutoModelForSequenceClassification
    with _quiet():
        model = network.from_pretrained(directory, torch_dtype=torch.float32)
        return model.eval(), _tokenizer(directory)


def load_encoder(directory: Path | str) -> tuple[Any, Any]:
    """Any BERT-like network without its head (float32, evaluation mode), and its tokenizer.

    Raises:
        CheckpointError: no such directory, or no weights in it.
    """
    directory = Path(directory)
    config = read_config(directory)
    options = {"add_pooling_layer": False} if config.get("model_type") == "bert" else {}
    with _quiet():
        model = AutoModel.from_pretrained(directory, torch_dtype=torch.float32, **options)
        return model.eval(), _tokenizer(directory)


def load_fusion(directory: Path | str) -> FusionNetwork:
    """A fusion network (float32, evaluation mode).

    Raises:
        CheckpointError: not a fusion checkpoint, or weights that don't fit its config.json.
    """
    directory = Path(directory)
    config = read_config(directory)
    if config.get("architecture") != ARCHITECTURE:
        raise CheckpointError(
            f"{directory}/config.json: architecture is {config.get('architecture')!r}, expected "
            f"{ARCHITECTURE!r}. Give a directory that `emo-train fusion` wrote."
        )
    try:
        shape = {name: config[name] for name in FusionConfig.__dataclass_fields__}
        network = FusionNetwork(FusionConfig(**{**shape, "labels": tuple(shape["labels"])}))
        weights = load_file(directory / WEIGHTS)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{directory}: not a whole fusion checkpoint: {error}") from None
    network.details = TrainedFusion(
        temperature=float(config.get("temperature", 1.0)),
        encoder_sha256=str(config.get("encoder_sha256", "")),
        audio=dict(config.get("audio", {})),
    )
    return network.eval()


def save_text(
    directory: Path | str,
    model: Any,
    tokenizer: Any,
    *,
    temperature: float = 1.0,
    metrics: Mapping[str, Any] | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a text classifier (or, without labels of ours, an encoder) atomically.

    Args:
        directory: replaced as a whole when it exists.
        model: a transformers model.
        tokenizer: its transformers tokenizer, a fast one.
        temperature: what logits are divided by before the softmax.
        metrics: written to metrics.json.
        extra: more files by name, as text.
    """
    config = json.loads(model.config.to_json_string(use_diff=True))
    config["architectures"] = [type(model).__name__]
    config["temperature"] = temperature
    config["strip_text"] = False
    if pooling := config.get("pooling"):
        config["decisions"] = {"pooling": POOLING_DECISIONS[pooling]}
    config.pop("dtype", None)
    with replaced(Path(directory)) as new:
        _save_half(new / WEIGHTS, _without_duplicates(model))
        _write_json(new / "config.json", config)
        # What a call left switched on is no part of the tokenizer.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(new)
        _write_extras(new, metrics, extra)


def save_fusion(
    directory: Path | str,
    network: FusionNetwork,
    *,
    metrics: Mapping[str, Any] | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a fusion network with its ``details`` atomically; arguments as ``save_text``."""
    config = {
        "architecture": ARCHITECTURE,
        **network.config.to_dict(),
        "temperature": network.details.temperature,
        "strip_text": True,
        "encoder_sha256": network.details.encoder_sha256,
        "decisions": {**DECISIONS, "attention": WIRING[network.config.variant]},
        "audio": network.details.audio,
    }
    with replaced(Path(directory)) as new:
        _save_half(new / WEIGHTS, network.state_dict())
        _write_json(new / "config.json", config)
        _write_extras(new, metrics, extra)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_config(directory: Path) -> dict[str, Any]:
    """config.json of a checkpoint that also has safetensors weights.

    Raises:
        CheckpointError: one of them is missing, or config.json is no JSON object.
    """
    for name in ("config.json", WEIGHTS):
        if not (directory / name).is_file():
            raise CheckpointError(
                f"{directory}: holds no {name}. Give the directory of a checkpoint with "
                "safetensors weights."
            )
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{directory}/config.json: not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{directory}/config.json: not a JSON object.")
    return config


@contextmanager
def replaced(directory: Path) -> Iterator[Path]:
    """A new empty directory that takes the place of ``directory`` when the block ends well."""
    directory = directory.absolute()
    new = directory.with_name(f".{directory.name}.{os.getpid()}.new")
    old = directory.with_name(f".{directory.name}.{os.getpid()}.old")
    new.mkdir(parents=True)
    try:
        yield new
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _tokenizer(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(directory)


def _without_duplicates(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state without tensors that are tied to an earlier one (safetensors refuses those)."""
    seen: set[int] = set()
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            state[name] = tensor
    return state


def _save_half(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    half = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in state.items()
    }
    save_file(half, path, metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes it readable by its owner only


def _write_extras(
    directory: Path, metrics: Mapping[str, Any] | None, extra: Mapping[str, str] | None
) -> None:
    if metrics is not None:
        _write_json(directory / "metrics.json", metrics)
    for name, text in (extra or {}).items():
        atomic_text(directory / name, text)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    atomic_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' remarks on unused heads: taking an encoder out of one is the point."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
