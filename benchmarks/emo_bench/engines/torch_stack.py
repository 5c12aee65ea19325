"""Shared parts of all rivals: librosa, the tokenizer of transformers, the fusion in PyTorch.

This is the paper's stack. A rival replaces the text network, which takes most of the time.
"""

import io
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emo_bench.engines.base import Outcome
from emo_bench.workload import Sample
from emo_models.checkpoint import load_fusion
from emo_models.evaluation.metrics import activate
from emo_models.modeling.load import load_text
from emo_models.modeling.text_classifier import masked_mean

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
# Token ids and mask, int64 [1, tokens], to logits [1, labels] and embedding [1, hidden].
TextNetwork = Callable[[Ids, Ids], tuple[Floats, Floats]]

OPSET = 17


class Both(torch.nn.Module):
    """A text classifier with both outputs: logits, and the mean-pooled states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits [batch, labels] and embedding [batch, hidden]."""
        states: list[torch.Tensor] = []
        handle = self.model.bert.register_forward_hook(
            lambda _module, _inputs, output: states.append(output[0])
        )
        try:
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        finally:
            handle.remove()
        return logits, masked_mean(states[0], attention_mask)


class RivalEngine:
    """Sound by librosa, text by ``network``, fusion in PyTorch."""

    def __init__(
        self, checkpoint: Path, network: TextNetwork, described: dict[str, Any], concurrency: int
    ) -> None:
        self.concurrency = concurrency
        self.network = network
        self._described = described
        text = load_text(checkpoint / "text")
        self._temperature = text.temperature
        self._max_tokens = text.max_tokens
        self._multi_label = text.multi_label
        self._tokenizer = text.tokenizer
        fusion = checkpoint / "fusion"
        self._fusion = load_fusion(fusion) if fusion.is_dir() else None
        self._labels = list(text.labels)

    def answer(self, sample: Sample) -> Outcome:
        """Answer from the text, and the sound if the sample has any."""
        marks = [("", time.perf_counter())]

        def mark(name: str) -> None:
            marks.append((name, time.perf_counter()))

        vector = None
        if sample.audio is not None:
            vector = _mean_mfcc(sample.audio, mark)
        text = sample.text if vector is None else sample.text.strip()
        encoded = self._tokenizer(
            text, truncation=True, max_length=self._max_tokens, return_tensors="np"
        )
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        mark("tokenize")
        logits, embedding = self.network(ids, mask)
        mark("text")
        temperature, multi_label = self._temperature, self._multi_label
        if vector is not None and self._fusion is not None:
            with torch.inference_mode():
                audio = torch.from_numpy(vector[np.newaxis])
                logits = self._fusion(audio, torch.from_numpy(embedding)).numpy()
            temperature, multi_label = self._fusion.details.temperature, False
            mark("fusion")
        scores = activate(logits, temperature, multi_label=multi_label)[0]
        phases = {
            name: (end - begin) * 1e3 for (_, begin), (name, end) in itertools.pairwise(marks)
        }
        phases["total"] = sum(phases.values())
        return Outcome(
            self._labels[int(scores.argmax())],
            dict(zip(self._labels, scores.tolist(), strict=True)),
            ids.shape[1],
            phases,
        )

    def describe(self) -> dict[str, Any]:
        """Return the description and the size of the text network."""
        return self._described

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def set_threads(threads: int | None, *, serving: bool) -> int:
    """Set PyTorch's threads per utterance; return how many utterances are answered at once."""
    usable = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(1 if serving else usable)
    return usable if serving else 1


def load_both(checkpoint: Path) -> Both:
    """Load the text network of a checkpoint in float32."""
    return Both(load_text(checkpoint / "text").module).eval()


def export_onnx(checkpoint: Path, path: Path) -> Path:
    """Export the network to ONNX without any optimization."""
    ids = torch.ones(1, 8, dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        load_both(checkpoint),
        (ids, ids),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["logits", "embedding"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes},
        opset_version=OPSET,
        dynamo=False,
    )
    return path


def folder_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return sum(item.stat().st_size for item in files)


def _mean_mfcc(audio: bytes, mark: Callable[[str], None]) -> Floats:
    import librosa

    samples, _ = librosa.load(io.BytesIO(audio), sr=22_050)
    mark("decode")  # and resampling, which librosa does in one call
    vector: Floats = librosa.feature.mfcc(y=samples, sr=22_050, n_mfcc=128).mean(axis=1)
    mark("front_end")
    return vector
