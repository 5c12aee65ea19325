"""Networks of the toolkit speech-emotion in PyTorch.

``speech-emotion`` is the toolkit of the organisers of EmoSPeech (NLP-UMUTeam). Its models are
written here from the facts of its public source, without its code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import Wav2Vec2BertModel

from emo_models.modeling.source import read_config


def is_toolkit_model(folder: Path) -> bool:
    """Return whether a directory has a model of speech-emotion."""
    if (folder / "model.bin").is_file():
        return True
    names = read_config(folder).get("architectures") or [""]
    return str(names[0]).startswith("CustomAudioClassification")


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a model of speech-emotion in float32."""
    pickled = folder / "model.bin"
    if pickled.is_file():
        state = torch.load(pickled, map_location="cpu", weights_only=True, mmap=True)
    else:
        state = load_file(folder / "model.safetensors")
    return {name: value.float() for name, value in state.items()}


class ToolkitSound(nn.Module):
    """Features [batch, time, 160] to the audio vector [batch, width] of speech-emotion.

    The states of Wav2Vec2-BERT are projected and averaged over the frames that the mask has.
    """

    def __init__(self, config: Any, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        width, hidden = state["projector.weight"].shape
        self.encoder = Wav2Vec2BertModel(config)
        self.projector = nn.Linear(hidden, width)
        prefix = "wav2vec2_bert."
        self.encoder.load_state_dict(_part(state, prefix), strict=False)
        self.projector.load_state_dict(_part(state, "projector."))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the audio vector."""
        states = self.encoder(features, attention_mask=mask).last_hidden_state
        states = self.projector(states)
        if mask is None:
            mean: Tensor = states.mean(1)
            return mean
        weight = mask.unsqueeze(-1).to(states.dtype)
        masked: Tensor = (states * weight).sum(1) / weight.sum(1)
        return masked


class ToolkitHead(nn.Module):
    """The vectors of sound and text to logits, as the four heads of speech-emotion do."""

    def __init__(self, state: Mapping[str, Tensor], config: Mapping[str, Any], name: str) -> None:
        super().__init__()
        self.state = {key: value for key, value in state.items() if "wav2vec2_bert" not in key}
        width = len(state["projector.weight"])
        self.heads = len(
            {key.split(".")[2] for key in state if key.startswith("mult_attn_model.heads.")}
        )
        self.concat = state["classifier.dense.weight"].shape[1] == 2 * width
        classes = config.get("architectures") or [""]
        mean = "Mean" in classes[0] or "-mean-" in name
        self.sound_alone = not (self.concat or self.heads or mean)

    def forward(self, audio: Tensor, text: Tensor | None = None) -> Tensor:
        """Return the logits."""
        if text is None:
            joined = audio
        elif self.concat:
            joined = torch.cat([audio, text], 1)
        elif self.heads:
            joined = self._attention(audio, text)
        else:
            joined = (audio + text) / 2
        dense = self._linear("classifier.dense", joined).tanh()
        return self._linear("classifier.out_proj", dense)

    def _attention(self, audio: Tensor, text: Tensor) -> Tensor:
        outputs = []
        for number in range(self.heads):
            head = f"mult_attn_model.heads.{number}"
            sides = []
            for end, asking, asked in (("", text, audio), ("_reverse", audio, text)):
                query = self._linear(f"{head}.Wq{end}", asking)
                key = self._linear(f"{head}.Wk{end}", asked)
                value = self._linear(f"{head}.Wv{end}", asked)
                if not end:
                    query, key = self._norm(head, query), self._norm(head, key)
                sides.append(functional.scaled_dot_product_attention(query, key, value) + value)
            outputs.append(self._linear(f"{head}.linear_out", torch.cat(sides, 1)))
        return self._linear("mult_attn_model.proj", torch.cat(outputs, 1))

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return functional.linear(values, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def _norm(self, head: str, values: Tensor) -> Tensor:
        weight, bias = self.state[f"{head}.norm.weight"], self.state[f"{head}.norm.bias"]
        return functional.layer_norm(values, weight.shape, weight, bias)


class ToolkitSoundAlone(nn.Module):
    """Features to logits, for a model that answers sound alone."""

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.head(self.network(features))
        return logits


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
