"""Write text, fusion and speech checkpoints; read fusion and speech checkpoints.

Text checkpoints are Hugging Face directories (read by ``emo_models.modeling.load``), fusion
and speech checkpoints are safetensors and config.json. Weights are stored in float16;
computation is in float32. A directory is written under a temporary name and then renamed, so that
a reader sees either the old checkpoint or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from emo_models.atomic import atomic_text
from emo_models.errors import CheckpointError, one_line
from emo_models.modeling import late_fusion
from emo_models.modeling.fusion import DECISIONS, WIRING, FusionConfig, FusionNetwork, TrainedFusion
from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork
from emo_models.modeling.source import WEIGHTS, read_config
from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel
from emo_models.modeling.speech_base import (
    Base,
    encoder_names,
    read_base,
    tensors_sha256,
    unchanged_tensors,
)
from emo_models.modeling.text_classifier import POOLING_DECISIONS
from emo_runtime.bundle.front_ends import FrontEndSettings
from emo_runtime.bundle.text_preparation import TextPreparation

ARCHITECTURE = "emo-fusion"
SPEECH_MODEL_TYPE = "emo-speech"
# Raised for a config.json or weights that are damaged or do not fit each other.
_UNREADABLE = (KeyError, ValueError, TypeError, RuntimeError, OSError, SafetensorError)

AnyFusion = FusionNetwork | LateFusionNetwork


def load_fusion(directory: Path | str) -> AnyFusion:
    """Read a fusion network (float32, evaluation mode).

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
        network = _fusion_network(config)
        if not (directory / WEIGHTS).is_file():
            raise CheckpointError(f"{directory}: holds no {WEIGHTS}.")
        weights = load_file(directory / WEIGHTS)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{directory}: an incomplete fusion checkpoint: {one_line(error)}"
        ) from None
    network.details = TrainedFusion(
        temperature=float(config.get("temperature", 1.0)),
        encoder_sha256=str(config.get("encoder_sha256", "")),
        speech_sha256=str(config.get("speech_sha256", "")),
        audio=dict(config.get("audio", {})),
    )
    return network.eval()


def save_text(
    directory: Path | str,
    model: Any,
    tokenizer: Any,
    *,
    temperature: float = 1.0,
    preparation: TextPreparation | None = None,
    metrics: Mapping[str, Any] | None = None,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a text classifier (or an encoder, if the config has no task labels) atomically.

    Args:
        directory: replaced when it exists.
        model: a transformers model.
        tokenizer: its fast transformers tokenizer.
        temperature: divisor of the logits before the softmax.
        preparation: changes to a transcript before it is tokenized.
        metrics: written to metrics.json.
        extra: more files by name, as text.
    """
    config = json.loads(model.config.to_json_string(use_diff=True))
    config["architectures"] = [type(model).__name__]
    config["temperature"] = temperature
    config["strip_text"] = False
    if preparation is not None and preparation != TextPreparation():
        config["text_preparation"] = msgspec.to_builtins(preparation)
    if pooling := config.get("pooling"):
        config["decisions"] = {"pooling": POOLING_DECISIONS[pooling]}
    config.pop("dtype", None)
    with replaced(Path(directory)) as new:
        _save_half(new / WEIGHTS, _without_duplicates(model))
        _write_json(new / "config.json", config)
        # Calling the tokenizer enables truncation and padding, which must not be saved.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.save_pretrained(new)
        _write_extras(new, metrics, extra)


def save_fusion(
    directory: Path | str,
    network: AnyFusion,
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
        "decisions": _decisions(network),
        "audio": network.details.audio,
    }
    if network.details.speech_sha256:
        config["speech_sha256"] = network.details.speech_sha256
        del config["audio"]
    with replaced(Path(directory)) as new:
        _save_half(new / WEIGHTS, network.state_dict())
        _write_json(new / "config.json", config)
        _write_extras(new, metrics, extra)


def _fusion_network(config: Mapping[str, Any]) -> AnyFusion:
    if config.get("variant") == late_fusion.VARIANT:
        return LateFusionNetwork(LateFusionConfig.from_dict(config))
    return FusionNetwork(FusionConfig.from_dict(config))


def _decisions(network: AnyFusion) -> dict[str, str]:
    if isinstance(network, LateFusionNetwork):
        return late_fusion.DECISIONS
    return {**DECISIONS, "attention": WIRING[network.config.variant]}


def save_speech(
    directory: Path | str,
    network: SpeechEmotionModel,
    front_end: FrontEndSettings,
    *,
    temperature: float = 1.0,
    adaptation_weight: float | None = None,
    metrics: Mapping[str, Any] | None = None,
    extra: Mapping[str, str] | None = None,
    base: tuple[str, Mapping[str, torch.Tensor]] | None = None,
) -> None:
    """Write a speech network atomically.

    Args:
        directory: replaced when it exists.
        network: its ``population_mean`` is the mean of the speaker adaptation.
        front_end: settings of the features that it was trained on.
        temperature: divisor of the logits before the softmax.
        adaptation_weight: weight of the population mean as a number of utterances; None: the
            network was not trained for speaker adaptation.
        metrics: written to metrics.json.
        extra: more files by name, as text.
        base: name and weights of the pretrained encoder. Tensors that training left unchanged are
            not written: ``load_speech`` takes them from there.
    """
    config: dict[str, Any] = {
        "model_type": SPEECH_MODEL_TYPE,
        "encoder": "whisper",
        **network.config.to_dict(),
        "temperature": temperature,
        "adaptation_weight": adaptation_weight,
        "front_end": msgspec.to_builtins(front_end),
    }
    state = network.state_dict()
    if base is not None:
        name, weights = base
        unchanged = unchanged_tensors({key: state[key] for key in encoder_names(state)}, weights)
        config["base"] = asdict(Base(name, tensors_sha256(weights, unchanged)))
        state = {key: tensor for key, tensor in state.items() if key not in unchanged}
    with replaced(Path(directory)) as new:
        _save_half(new / WEIGHTS, state)
        _write_json(new / "config.json", config)
        _write_extras(new, metrics, extra)


def load_speech(directory: Path | str) -> SpeechEmotionModel:
    """Read a speech network (float32, evaluation mode).

    Raises:
        CheckpointError: not a speech checkpoint, or weights that don't fit its config.json.
    """
    directory = Path(directory)
    config = read_config(directory)
    if config.get("model_type") != SPEECH_MODEL_TYPE or config.get("encoder") != "whisper":
        raise CheckpointError(
            f"{directory}/config.json: not a speech network of emo-train (model_type "
            f"{config.get('model_type')!r}, encoder {config.get('encoder')!r})."
        )
    if not (directory / WEIGHTS).is_file():
        raise CheckpointError(f"{directory}: holds no {WEIGHTS}.")
    try:
        network = SpeechEmotionModel(SpeechConfig.from_dict(config))
        weights = load_file(directory / WEIGHTS)
        if "base" in config:
            missing = encoder_names(set(network.state_dict()) - set(weights))
            weights |= read_base(directory, Base(**config["base"]), missing)
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{directory}: an incomplete speech network: {one_line(error)}"
        ) from None
    return network.eval()


@contextmanager
def replaced(directory: Path) -> Iterator[Path]:
    """Yield a new empty directory that replaces ``directory`` if the block raises nothing."""
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


def _without_duplicates(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state without tensors that share memory with an earlier one.

    safetensors refuses shared tensors.
    """
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
    path.chmod(0o644)  # safetensors creates the file readable by its owner only


def _write_extras(
    directory: Path, metrics: Mapping[str, Any] | None, extra: Mapping[str, str] | None
) -> None:
    if metrics is not None:
        _write_json(directory / "metrics.json", metrics)
    for name, text in (extra or {}).items():
        atomic_text(directory / name, text)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    atomic_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
