"""Late fusion: a weighted product of calibrated speech and text posteriors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from emo_models.labels import LABELS
from emo_models.modeling.fusion import TrainedFusion

VARIANT = "late"
DECISIONS = {
    "audio vector": "speech embedding minus the population mean, or the speaker's shrunken mean",
    "text vector": "mean of the encoder's last states, special tokens in it",
    "fusion": "weighted sum of both log-probabilities",
}


@dataclass(frozen=True)
class LateFusionConfig:
    """Shape of a late fusion network.

    Attributes:
        audio_width: Width of the (adapted) speech embedding.
        hidden: Width of the text embedding.
        labels: Labels in class order.
    """

    audio_width: int = 1024
    hidden: int = 384
    labels: tuple[str, ...] = LABELS

    @property
    def present_input(self) -> bool:
        """Always True: the network also accepts a single modality."""
        return True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LateFusionConfig:
        """Return the shape that a config.json describes. Raises KeyError for a missing field."""
        shape = {name: values[name] for name in cls.__dataclass_fields__}
        return cls(**{**shape, "labels": tuple(shape["labels"])})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for config.json."""
        return {
            "variant": VARIANT,
            **asdict(self),
            "labels": list(self.labels),
            "present_input": True,
        }


class LateFusionNetwork(nn.Module):
    """Speech embedding, text embedding and presence flags to logits [batch, labels].

    Each modality has its own linear head and temperature. With one modality present, the logits
    are that modality's log-probabilities. With both, they are the weighted sum of both (a product
    of experts: given the label, the modalities are treated as independent). Without either they
    are zero.
    """

    temperature: Tensor
    weight: Tensor

    def __init__(self, config: LateFusionConfig) -> None:
        super().__init__()
        self.config = config
        self.details = TrainedFusion()
        labels = len(config.labels)
        self.audio_head = nn.Linear(config.audio_width, labels)
        self.text_head = nn.Linear(config.hidden, labels)
        self.register_buffer("temperature", torch.ones(2))
        self.register_buffer("weight", torch.ones(2))

    def forward(self, audio: Tensor, text: Tensor, present: Tensor) -> Tensor:
        """Return logits [batch, labels].

        Args:
            audio: Adapted speech embeddings [batch, audio_width].
            text: Text embeddings [batch, hidden].
            present: 1 where (audio, text) is given, else 0; [batch, 2].
        """
        return self.combine(self.audio_head(audio), self.text_head(text), present)

    def combine(self, audio_logits: Tensor, text_logits: Tensor, present: Tensor) -> Tensor:
        """Return the fused logits for the logits of both heads; training needs only this part."""
        audio = torch.log_softmax(audio_logits / self.temperature[0], 1)
        text = torch.log_softmax(text_logits / self.temperature[1], 1)
        has_audio, has_text = present[:, :1], present[:, 1:]
        audio_weight = 1.0 + has_text * (self.weight[0] - 1.0)
        text_weight = 1.0 + has_audio * (self.weight[1] - 1.0)
        return has_audio * audio_weight * audio + has_text * text_weight * text
