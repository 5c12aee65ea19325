"""The Task 2 network (paper 4.2.6-4.2.8) and its variants with attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from emo_models.labels import LABELS

Variant = Literal["plain", "attention", "multihead"]
VARIANTS: tuple[Variant, ...] = ("plain", "attention", "multihead")

# Decisions on points that the paper leaves open; written to config.json and to the manifest. The
# reasons are in the docstrings of ``masked_mean``, ``FeatureAttention``, ``MultiHeadAttention``.
DECISIONS = {
    "text vector": "mean of the encoder's last states, [CLS] and [SEP] in it, padding not",
    "encoder": "whichever network the sha256 names; the paper says only a pre-trained BERT",
}
WIRING: dict[Variant, str] = {
    "plain": "none",
    "attention": "a softmax over each modality's own features, after its linear layer",
    "multihead": "4 heads over 8 chunks of each modality's features, with a residual",
}

HEADS = 4
CHUNKS = 8


@dataclass(frozen=True)
class FusionConfig:
    """Shape of a fusion network.

    The audio vector is ``n_mfcc`` mean MFCCs, or a speech embedding if ``audio_width`` is given.
    ``present_input`` adds a third input that marks a missing modality.
    """

    variant: Variant = "plain"
    n_mfcc: int = 128
    hidden: int = 768
    fused: int = 256
    dropout: float = 0.5
    labels: tuple[str, ...] = LABELS
    present_input: bool = False
    audio_width: int | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"variant {self.variant!r}: expected one of {', '.join(VARIANTS)}")
        if self.fused % (CHUNKS * HEADS):
            raise ValueError(f"fused {self.fused}: expected a multiple of {CHUNKS * HEADS}")

    @property
    def audio_inputs(self) -> int:
        """Width of the audio vector."""
        return self.n_mfcc if self.audio_width is None else self.audio_width

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FusionConfig:
        """Return the shape that a config.json describes. Raises KeyError for a missing field."""
        either = {"n_mfcc", "audio_width"}
        shape = {name: values[name] for name in cls.__dataclass_fields__ if name not in either}
        given = {name: values[name] for name in either if values.get(name) is not None}
        if not given:
            raise KeyError("n_mfcc")
        return cls(**{**shape, **given, "labels": tuple(shape["labels"])})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for config.json: ``audio_width`` replaces ``n_mfcc``."""
        unused = "audio_width" if self.audio_width is None else "n_mfcc"
        values = {**asdict(self), "labels": list(self.labels)}
        return {name: value for name, value in values.items() if name != unused}


@dataclass(frozen=True)
class TrainedFusion:
    """Metadata that a fusion checkpoint stores with the weights."""

    temperature: float = 1.0
    encoder_sha256: str = ""
    audio: dict[str, Any] = field(default_factory=dict)
    speech_sha256: str = ""


class FusionNetwork(nn.Module):
    """Two linear layers without activation, concatenation, 512 -> 256, ReLU, dropout, -> classes.

    Inputs are the raw features: the standardisation (``audio_shift`` [width], ``audio_scale`` [])
    is part of the network. The paper mentions no standardisation: shift 0 and scale 1 reproduce its
    network. ``confidence`` [2] multiplies the logits if only audio or only text is present, because
    one temperature for all three cases would make single modalities overconfident.
    """

    audio_shift: Tensor
    audio_scale: Tensor
    confidence: Tensor

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.details = TrainedFusion()
        width = config.fused
        self.register_buffer("audio_shift", torch.zeros(config.audio_inputs))
        self.register_buffer("audio_scale", torch.ones(()))
        self.audio = nn.Linear(config.audio_inputs, width)
        self.text = nn.Linear(config.hidden, width)
        self.audio_attention = _attention(config.variant, width)
        self.text_attention = _attention(config.variant, width)
        if config.present_input:
            self.audio_missing = nn.Parameter(torch.zeros(width))
            self.text_missing = nn.Parameter(torch.zeros(width))
            self.register_buffer("confidence", torch.ones(2))
        self.combined = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(width, len(config.labels)),
        )

    def forward(self, audio: Tensor, text: Tensor, present: Tensor | None = None) -> Tensor:
        """Return logits [batch, labels].

        Args:
            audio: mean MFCCs or speech embeddings, float32 [batch, audio_inputs].
            text: mean-pooled states of the encoder, float32 [batch, hidden].
            present: float32 [batch, 2], 1 where (audio, text) is present, else 0. A learned vector
                replaces a missing modality; its input may be any finite values. None: both are
                present.

        Raises:
            ValueError: ``present`` is given to a network without that input.
        """
        audio = self.audio_attention(self.audio((audio - self.audio_shift) * self.audio_scale))
        text = self.text_attention(self.text(text))
        if present is not None:
            if not self.config.present_input:
                raise ValueError("this network was not trained to do without a modality")
            has_audio, has_text = present[:, :1], present[:, 1:]
            audio = audio * has_audio + self.audio_missing * (1 - has_audio)
            text = text * has_text + self.text_missing * (1 - has_text)
        logits: Tensor = self.combined(torch.cat([audio, text], dim=1))
        if present is not None:
            only_audio, only_text = has_audio * (1 - has_text), (1 - has_audio) * has_text
            logits = logits * (
                1 + only_audio * (self.confidence[0] - 1) + only_text * (self.confidence[1] - 1)
            )
        return logits


class FeatureAttention(nn.Module):
    """Variant A: weights over a modality's own 256 features, "to highlight the most relevant".

    Both modalities were averaged over time, so there is no sequence to attend over. The paper's
    sentence is therefore read as attention over features. The softmax is scaled by the width, so
    that uniform weights change nothing.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return weighted features [batch, width]."""
        return features * torch.softmax(self.score(features), dim=-1) * features.shape[-1]


class MultiHeadAttention(nn.Module):
    """Variant B: multi-head self-attention inside a modality's vector, with a residual.

    Over a sequence of one vector the softmax is 1, and attention reduces to a linear layer. The 256
    features are therefore split into a sequence of 8 chunks of 32, which attend to each other with
    4 heads (Vaswani et al. 2017; same arithmetic as ``torch.nn.MultiheadAttention``).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.chunk = width // CHUNKS
        self.query_key_value = nn.Linear(self.chunk, 3 * self.chunk)
        self.output = nn.Linear(self.chunk, self.chunk)

    def forward(self, features: Tensor) -> Tensor:
        """Return the features plus the attention output over all chunks, [batch, width]."""
        chunks = features.reshape(-1, CHUNKS, self.chunk)
        query, key, value = (
            part.reshape(-1, CHUNKS, HEADS, self.chunk // HEADS).transpose(1, 2)
            for part in self.query_key_value(chunks).split(self.chunk, dim=-1)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(self.chunk // HEADS)
        mixed = (torch.softmax(scores, dim=-1) @ value).transpose(1, 2)
        joined: Tensor = self.output(mixed.reshape(-1, CHUNKS, self.chunk))
        return (chunks + joined).reshape(-1, CHUNKS * self.chunk)


def _attention(variant: Variant, width: int) -> nn.Module:
    if variant == "attention":
        return FeatureAttention(width)
    if variant == "multihead":
        return MultiHeadAttention(width)
    return nn.Identity()


# Presence flags: (audio, text).
BOTH, AUDIO_ONLY, TEXT_ONLY = (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)
