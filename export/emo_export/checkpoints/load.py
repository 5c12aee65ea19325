"""First step: checkpoints from disk (or the Hub) into memory, in float32 and evaluation mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emo_export.checkpoints.tokenizer import BundleTokenizer, Ids, bundle_tokenizer
from emo_export.options import Sources
from emo_models import checkpoint as fusion_checkpoint
from emo_models.errors import CheckpointError
from emo_models.modeling.load import TextCheckpoint as LoadedText
from emo_models.modeling.load import load_encoder, load_text
from emo_models.modeling.source import checkpoint_directory, read_config, weights_sha256


@dataclass(frozen=True, eq=False)
class TextCheckpoint(LoadedText):
    """A classifier or an encoder, with its tokenizer in the form of a bundle."""

    bundle_tokenizer: BundleTokenizer


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
        """True if it was trained to do without a modality (third input ``present``)."""
        return bool(self.config.get("present_input", False))

    @property
    def temperature(self) -> float:
        """Divisor of the logits before the softmax."""
        return float(self.config.get("temperature", 1.0))


@dataclass(frozen=True)
class Checkpoints:
    """The parts of one bundle. ``encoder`` is ``text`` itself where they are the same."""

    text: TextCheckpoint
    encoder: TextCheckpoint | None = None
    fusion: FusionCheckpoint | None = None

    @property
    def shared(self) -> bool:
        """True if both tasks use the same encoder, so that one graph with two outputs serves."""
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

    Raises:
        CheckpointError: one is missing or incomplete.
    """
    text = _with_tokenizer(load_text(sources.text))
    if sources.fusion is None:
        return Checkpoints(text)
    encoder = text
    if sources.encoder is not None:
        directory = checkpoint_directory(sources.encoder)
        if weights_sha256(directory) != text.sha256:
            encoder = _with_tokenizer(load_encoder(directory))
    return Checkpoints(text, encoder, _fusion(sources.fusion))


def token_ids(checkpoint: TextCheckpoint, texts: Sequence[str], *, strip: bool) -> list[Ids]:
    """Return the token ids of each transcript, unpadded."""
    encode = checkpoint.bundle_tokenizer.encode
    return [encode(text.strip() if strip else text) for text in texts]


def _with_tokenizer(loaded: LoadedText) -> TextCheckpoint:
    return TextCheckpoint(**vars(loaded), bundle_tokenizer=bundle_tokenizer(loaded))


def _fusion(source: str) -> FusionCheckpoint:
    directory = Path(source)
    if not directory.is_dir():
        raise CheckpointError(
            f"{source}: no such directory. --fusion takes a checkpoint of `emo-train fusion`."
        )
    module = fusion_checkpoint.load_fusion(directory)
    config = read_config(directory)
    return FusionCheckpoint(
        directory, module, config, tuple(config["labels"]), weights_sha256(directory)
    )
