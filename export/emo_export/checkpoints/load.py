"""First step: checkpoints from disk (or the Hub) into memory, in float32 and evaluation mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from numpy.typing import NDArray
from safetensors import SafetensorError

from emo_export.checkpoints.tokenizer import BundleTokenizer, read_tokenizer
from emo_export.options import Sources
from emo_models.checkpoint import (
    WEIGHTS,
    file_sha256,
    load_encoder,
    load_fusion,
    load_text,
    read_config,
)
from emo_models.errors import CheckpointError

_HUB_FILES = ["*.json", "*.txt", "*.model", WEIGHTS, "*.md"]


@dataclass(frozen=True)
class TextCheckpoint:
    """A classifier or an encoder: the module and what its directory says of it.

    ``module`` maps (input_ids, attention_mask) to logits or hidden states. ``labels`` is empty for
    a mere encoder. ``sha256`` is that of the weights' file.
    """

    directory: Path
    module: torch.nn.Module
    config: dict[str, Any]
    tokenizer: BundleTokenizer
    labels: tuple[str, ...]
    hidden: int
    heads: int
    sha256: str

    @property
    def pooling(self) -> str:
        """``cls`` or ``mean``: what the classifier reads of the last layer."""
        return str(self.config.get("pooling", "cls"))

    @property
    def temperature(self) -> float:
        """What its logits are divided by before the softmax."""
        return float(self.config.get("temperature", 1.0))

    @property
    def strip(self) -> bool:
        """Whether outer blanks of the transcript are removed first."""
        return bool(self.config.get("strip_text", False))


@dataclass(frozen=True)
class FusionCheckpoint:
    """The fusion network: audio [batch, n_mfcc], text [batch, hidden] (, present) -> logits."""

    directory: Path
    module: torch.nn.Module
    config: dict[str, Any]
    labels: tuple[str, ...]
    sha256: str

    @property
    def n_mfcc(self) -> int:
        """Mean MFCC coefficients that the network reads."""
        return int(self.config["n_mfcc"])

    @property
    def hidden(self) -> int:
        """Width of the text embedding that the network reads."""
        return int(self.config["hidden"])

    @property
    def present_input(self) -> bool:
        """Whether it was trained to do without a modality (third input ``present``)."""
        return bool(self.config.get("present_input", False))

    @property
    def temperature(self) -> float:
        """What its logits are divided by before the softmax."""
        return float(self.config.get("temperature", 1.0))


@dataclass(frozen=True)
class Checkpoints:
    """All that one bundle is made from. ``encoder`` is ``text`` itself where they are the same."""

    text: TextCheckpoint
    encoder: TextCheckpoint | None = None
    fusion: FusionCheckpoint | None = None

    @property
    def shared(self) -> bool:
        """Whether both tasks use the same encoder, so that one graph with two outputs serves."""
        return self.encoder is self.text

    @property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of the weights by part, as the manifest's provenance names them."""
        parts = {"text": self.text.sha256}
        if self.encoder is not None and not self.shared:
            parts["encoder"] = self.encoder.sha256
        if self.fusion is not None:
            parts["fusion"] = self.fusion.sha256
        return parts


def load(sources: Sources) -> Checkpoints:
    """Read the checkpoints that ``sources`` names.

    Raises CheckpointError where one is missing, holds pickled weights, or can't be read.
    """
    text = _text(sources.text, classifier=True)
    if sources.fusion is None:
        return Checkpoints(text)
    encoder = text
    if sources.encoder is not None:
        directory = _directory(sources.encoder)
        if file_sha256(_weights(directory)) != text.sha256:
            encoder = _text(sources.encoder, classifier=False)
    return Checkpoints(text, encoder, _fusion(sources.fusion))


def _text(source: str, *, classifier: bool) -> TextCheckpoint:
    directory = _directory(source)
    weights = _weights(directory)
    config = read_config(directory)
    try:
        module = load_text(directory)[0] if classifier else load_encoder(directory)[0]
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{directory}: can't be read as a text model: {error}") from error
    settings = module.config
    return TextCheckpoint(
        directory=directory,
        module=module,
        config=config,
        tokenizer=read_tokenizer(
            directory, positions=_positions(settings), vocab_size=int(settings.vocab_size)
        ),
        labels=_labels(settings) if classifier else (),
        hidden=int(settings.hidden_size),
        heads=int(settings.num_attention_heads),
        sha256=file_sha256(weights),
    )


def _fusion(source: str) -> FusionCheckpoint:
    directory = Path(source)
    if not directory.is_dir():
        raise CheckpointError(f"{source}: no such directory. --fusion takes what emo-train wrote.")
    weights = _weights(directory)
    module = load_fusion(directory)
    config = read_config(directory)
    return FusionCheckpoint(
        directory, module, config, tuple(config["labels"]), file_sha256(weights)
    )


def _directory(source: str) -> Path:
    """A local directory as it is; a Hub id (``owner/name``) through the Hub's own client."""
    path = Path(source)
    if path.is_dir():
        return path
    if path.exists() or source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{source}: no such directory. Give a checkpoint directory (config.json, "
            f"{WEIGHTS}, tokenizer.json) or a Hub id like 'dccuchile/bert-base-spanish-wwm-cased'."
        )
    try:
        return Path(snapshot_download(source, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{source}: neither a directory here nor to be had from the Hub: {error}"
        ) from error


def _weights(directory: Path) -> Path:
    weights = directory / WEIGHTS
    if weights.is_file():
        return weights
    pickled = sorted(
        path.name for path in directory.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".ckpt"}
    )
    if pickled:
        raise CheckpointError(
            f"{directory}: its weights are pickled ({', '.join(pickled)}), and unpickling runs "
            "code of whoever wrote the file. Convert it once, where you trust it: "
            "AutoModelForSequenceClassification.from_pretrained(DIR).save_pretrained(NEW, "
            "safe_serialization=True), then give NEW."
        )
    if (directory / f"{WEIGHTS}.index.json").is_file():
        raise CheckpointError(
            f"{directory}: its weights are split over several files. Save it again with "
            "save_pretrained(NEW, max_shard_size='50GB'), then give NEW."
        )
    raise CheckpointError(f"{directory}: holds no {WEIGHTS}. Give the directory of a checkpoint.")


def _labels(settings: Any) -> tuple[str, ...]:
    names: dict[int, str] = settings.id2label
    return tuple(names[index] for index in sorted(names))


def _positions(settings: Any) -> int:
    """Tokens that fit. RoBERTa's family counts positions from ``pad_token_id + 1`` on."""
    positions = int(settings.max_position_embeddings)
    if settings.model_type in {"roberta", "xlm-roberta", "camembert"}:
        return positions - int(settings.pad_token_id) - 1
    return positions


Ids = NDArray[np.int64]


def token_ids(checkpoint: TextCheckpoint, texts: Sequence[str], *, strip: bool) -> list[Ids]:
    """Token ids of each transcript, unpadded."""
    encode = checkpoint.tokenizer.encode
    return [encode(text.strip() if strip else text) for text in texts]
