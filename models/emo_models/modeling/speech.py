"""Speech emotion network: the first layers of Whisper's encoder, pooled where there is speech.

The encoder is that of Radford et al., "Robust Speech Recognition via Large-Scale Weak
Supervision" (openai/whisper-base, MIT licence). It runs on sound of any length up to 30 s without
padding: the positional embeddings of the first frames are used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from emo_models.labels import LABELS

_DECIBEL = 10.0 / math.log(10.0)
ATTENTION_FLOOR = 1e-4


@dataclass(frozen=True)
class SpeechConfig:
    """Shape of the network.

    Attributes:
        n_mels: Mel bands of the log-mel features.
        width: Width of the encoder's states.
        heads: Attention heads of a layer.
        inner: Width of the feed-forward networks.
        positions: Longest sound, in frames of 20 ms.
        layers: Encoder layers that are computed.
        pooled_layers: Layers, counted from 1, whose mean states make the embedding.
        gate_range_db: A frame this far below the loudest frame counts half.
        gate_slope_db: Width of the transition between silence and speech.
        labels: Labels of the head, in class order; empty for a network without a head.
    """

    n_mels: int = 80
    width: int = 512
    heads: int = 8
    inner: int = 2048
    positions: int = 1500
    layers: int = 3
    pooled_layers: tuple[int, ...] = (2, 3)
    gate_range_db: float = 35.0
    gate_slope_db: float = 3.0
    labels: tuple[str, ...] = LABELS

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if not self.pooled_layers or not set(self.pooled_layers) <= set(range(1, self.layers + 1)):
            raise ValueError(
                f"pooled_layers {self.pooled_layers}: expected layers from 1 to {self.layers}"
            )

    @property
    def embedding_width(self) -> int:
        """Width of the embedding."""
        return self.width * len(self.pooled_layers)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SpeechConfig:
        """Return the shape that a config.json describes; other keys are ignored.

        Raises:
            KeyError: A field is missing.
            ValueError: The fields contradict each other.
        """
        shape = {name: values[name] for name in cls.__dataclass_fields__}
        for name in ("pooled_layers", "labels"):
            shape[name] = tuple(shape[name])
        return cls(**shape)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for config.json."""
        return {
            **asdict(self),
            "pooled_layers": list(self.pooled_layers),
            "labels": list(self.labels),
        }


class SelfAttention(nn.Module):
    """Multi-head self-attention with a bias for each key; as in Whisper, `k_proj` has no bias."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_width = config.width // config.heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return [batch, time, width]; ``bias`` [batch, 1, 1, time] is added to the scores."""
        query, key, value = (
            self._split(project(states)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = query @ key.transpose(2, 3) * self.head_width**-0.5 + bias
        mixed = scores.softmax(-1) @ value
        output: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return output

    def _split(self, states: Tensor) -> Tensor:
        batch, time, _ = states.shape
        return states.reshape(batch, time, self.heads, self.head_width).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Pre-norm Transformer layer with the parameter names of `transformers.WhisperEncoder`."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, config.inner)
        self.fc2 = nn.Linear(config.inner, config.width)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Return states [batch, time, width]."""
        states = states + self.self_attn(self.self_attn_layer_norm(states), bias)
        inner = functional.gelu(self.fc1(self.final_layer_norm(states)))
        output: Tensor = states + self.fc2(inner)
        return output


class SpeechEncoder(nn.Module):
    """Log-mel features [batch, n_mels, frames] to an embedding [batch, embedding_width].

    All rows of a batch have the same length. A gate leaves silent frames out of the attention and
    out of the mean.
    """

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.n_mels, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.positions, config.width)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean states of the pooled layers, side by side."""
        gate = self.speech_gate(features)[:, ::2]
        bias = torch.log(gate + ATTENTION_FLOOR)[:, None, None, :]
        share = (gate / gate.sum(1, keepdim=True)).unsqueeze(1)
        states = functional.gelu(self.conv1(features))
        states = functional.gelu(self.conv2(states)).transpose(1, 2)
        states = states + self.embed_positions.weight[: states.shape[1]]
        pooled = []
        for number, layer in enumerate(self.layers, 1):
            states = layer(states, bias)
            if number in self.config.pooled_layers:
                pooled.append((share @ states).squeeze(1))
        return torch.cat(pooled, 1)

    def speech_gate(self, features: Tensor) -> Tensor:
        """Return a weight from 0 (silence) to 1 (speech) for each frame, [batch, frames].

        A frame's power, summed over the mel bands, is compared with the loudest frame's.
        """
        # Whisper's features are (log10(power) + 4) / 4.
        power = torch.logsumexp(features * (4.0 * math.log(10.0)), dim=1) * _DECIBEL
        below_peak = power - power.amax(1, keepdim=True)
        return torch.sigmoid((below_peak + self.config.gate_range_db) / self.config.gate_slope_db)

    def initialize(self, seed: int) -> None:
        """Set random weights for training from scratch; positions are sinusoids as in Whisper."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("embed_positions.weight"):
                    parameter.copy_(_sinusoids(*parameter.shape))
                elif parameter.ndim > 1:
                    limit = parameter[0].numel() ** -0.5
                    parameter.copy_(limit * torch.randn(parameter.shape, generator=generator))
                elif name.endswith("bias"):
                    parameter.zero_()

    def load_whisper(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a `WhisperModel` checkpoint (names with the prefix `encoder.`)."""
        self.load_state_dict({name: state[f"encoder.{name}"] for name in self.state_dict()})


def _sinusoids(positions: int, width: int) -> Tensor:
    """Return sines and cosines of geometrically spaced wave lengths up to 10,000 frames."""
    count = width - width // 2
    rates = torch.exp(-math.log(10_000) / max(1, count - 1) * torch.arange(count))
    angles = torch.arange(positions)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]


class SpeechEmotionModel(nn.Module):
    """Encoder and linear head: features to `(embedding, logits)`.

    The head reads the embedding minus a mean: the population mean here, the speaker's shrunken
    mean where the runtime adapts to a speaker (the fusion network then has the head).
    """

    population_mean: Tensor

    def __init__(self, config: SpeechConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpeechConfig()
        self.encoder = SpeechEncoder(self.config)
        self.head = (
            nn.Linear(self.config.embedding_width, len(self.config.labels))
            if self.config.labels
            else None
        )
        self.register_buffer("population_mean", torch.zeros(self.config.embedding_width))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the embedding [batch, embedding_width] and the logits [batch, labels]."""
        embedding: Tensor = self.encoder(features)
        logits = None if self.head is None else self.head(embedding - self.population_mean)
        return embedding, logits
