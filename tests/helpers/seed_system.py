"""The paper's system as a user would have written it: librosa, transformers and PyTorch.

Shares no code with emo_runtime, emo_export or the networks of emo_models: only the files of the
checkpoint. Read beside section 4 of the paper.
"""

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from helpers.reference_audio import load, mean_mfcc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import AutoTokenizer, BertModel


class FusionNetwork(nn.Module):
    """4.2.6: MFCC -> 256, text -> 256, concatenate, 256, ReLU, dropout, 6 classes."""

    def __init__(self, n_mfcc: int, hidden: int, labels: int) -> None:
        super().__init__()
        self.audio = nn.Linear(n_mfcc, 256)
        self.text = nn.Linear(hidden, 256)
        self.combined = nn.Sequential(
            nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, labels)
        )

    def forward(self, audio, text):
        return self.combined(torch.cat([self.audio(audio), self.text(text)], dim=1))


class SeedSystem:
    """Both tasks of one checkpoint directory (with ``text`` and ``fusion`` in it)."""

    def __init__(self, checkpoint: Path) -> None:
        text, fusion = checkpoint / "text", checkpoint / "fusion"
        self.text_config = json.loads((text / "config.json").read_text())
        self.fusion_config = json.loads((fusion / "config.json").read_text())
        self.labels = self.fusion_config["labels"]
        self.max_tokens = self.text_config["max_position_embeddings"]
        self.tokenizer = AutoTokenizer.from_pretrained(text)
        self.encoder = BertModel.from_pretrained(text, add_pooling_layer=False).float().eval()
        weights = {
            name: tensor.float() for name, tensor in load_file(text / "model.safetensors").items()
        }
        self.classifier = nn.Linear(self.encoder.config.hidden_size, len(self.labels))
        self.classifier.load_state_dict(
            {name: weights[f"classifier.{name}"] for name in ("weight", "bias")}
        )
        self.ngrams = {
            name.removeprefix("ngrams."): tensor.numpy()
            for name, tensor in weights.items()
            if name.startswith("ngrams.")
        }
        self._load_fusion(fusion / "model.safetensors")

    def task_1(self, text: str) -> NDArray[np.float64]:
        """Probabilities of a transcript alone."""
        with torch.no_grad():
            logits = self.classifier(self._pooled(text))
        logits = logits + torch.from_numpy(self._ngram_scores(text))
        return self._probabilities(logits, self.text_config["temperature"])

    def task_2(self, text: str, clip: Path) -> NDArray[np.float64]:
        """Probabilities of a transcript and its sound file."""
        vector = mean_mfcc(load(clip), self.fusion_config["n_mfcc"])
        audio = (torch.from_numpy(vector)[None] - self.shift) * self.scale
        with torch.no_grad():
            logits = self.fusion(audio, self._pooled(text.strip()))
        return self._probabilities(logits, self.fusion_config["temperature"])

    def _pooled(self, text):
        """4.2.3: the mean of the last hidden states of one unpadded text."""
        encoded = self.tokenizer(
            text, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        with torch.no_grad():
            return self.encoder(**encoded).last_hidden_state.mean(dim=1)

    def _ngram_scores(self, text):
        """The linear head on hashed unigrams and bigrams that the default's text network has."""
        if not self.ngrams:
            return np.zeros((1, len(self.labels)), np.float32)
        ids = self.tokenizer(text, truncation=True, max_length=self.max_tokens)["input_ids"]
        buckets = len(self.ngrams["table"])
        places = [token * 40_503 % buckets for token in ids]
        places += [
            (first * 40_503 * 31 + second * 2_654_435_761 + 7_919) % buckets
            for first, second in itertools.pairwise(ids)
        ]
        length = np.sqrt(self.ngrams["squares"][places].sum())
        return (self.ngrams["table"][places].sum(axis=0) / length + self.ngrams["bias"])[None]

    def _probabilities(self, logits, temperature):
        return torch.softmax(logits[0].double() / temperature, dim=0).numpy()

    def _load_fusion(self, path):
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        self.shift, self.scale = weights.pop("audio_shift"), weights.pop("audio_scale")
        # Parameters for a missing modality: this system always has both.
        for name in ("audio_missing", "text_missing", "confidence"):
            weights.pop(name, None)
        config = self.fusion_config
        self.fusion = FusionNetwork(config["n_mfcc"], config["hidden"], len(self.labels)).eval()
        self.fusion.load_state_dict(weights)
