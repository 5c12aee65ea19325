"""The reference: predictions of the checkpoint in PyTorch, in float32."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from emo_export.checkpoints.load import (
    Checkpoints,
    FusionCheckpoint,
    TextCheckpoint,
    token_ids,
)
from emo_export.checkpoints.speech import SpeechCheckpoint
from emo_export.checkpoints.tokenizer import Ids
from emo_export.evaluation.inputs import Inputs, Sound, encode_clips
from emo_models.modeling.text_outputs import TextOutputs
from emo_runtime.bundle.manifest import TaskName

Floats = NDArray[np.float32]

_TOKENS_AT_ONCE = 2048
AUDIO_ONLY = (1.0, 0.0)


@dataclass(frozen=True)
class Answers:
    """Logits by task, [rows, labels]; those of ``audio`` are [clips, labels]."""

    text: Floats | None = None
    fusion: Floats | None = None
    audio: Floats | None = None

    def of(self, task: TaskName) -> Floats | None:
        """Return the logits of a task; None if the task was not computed."""
        found: Floats | None = getattr(self, task)
        return found


def reference(checkpoints: Checkpoints, inputs: Inputs) -> Answers:
    """Return the checkpoint's predictions for transcripts and sound."""
    text, fusion = checkpoints.text, checkpoints.fusion
    logits = None
    if text is not None and inputs.texts:
        ids = token_ids(text, inputs.texts)
        logits = text_outputs(text, ids, "logits")
    if inputs.sound is None:
        return Answers(logits)
    vectors, audio = encode_sound(checkpoints, inputs.sound)
    fused = None
    if fusion is not None and vectors is not None:
        if checkpoints.encoder is not None and inputs.texts:
            ids = token_ids(checkpoints.encoder, inputs.texts, strip=True)
            embeddings = text_outputs(checkpoints.encoder, ids, "embedding", fusion.text_pooling)
            fused = fusion_logits(fusion, vectors[inputs.sound.rows], embeddings)
        if checkpoints.audio_by_fusion:
            silent = np.zeros((len(vectors), fusion.hidden), np.float32)
            audio = fusion_logits(fusion, vectors, silent, AUDIO_ONLY)
    return Answers(logits, fused, audio)


def encode_sound(checkpoints: Checkpoints, sound: Sound) -> tuple[Floats | None, Floats | None]:
    """Return audio vectors for the fusion network, and logits of the speech network's head.

    Shapes: [clips, width] and [clips, labels]. None for a missing network.
    """
    speech = checkpoints.speech
    if speech is None:
        return sound.vectors, None
    outputs = speech_outputs(speech, sound)
    logits = outputs.get("logits") if checkpoints.audio_by_speech else None
    return adapted(checkpoints, outputs.get("embedding")), logits


def adapted(checkpoints: Checkpoints, vectors: Floats | None) -> Floats | None:
    """Return audio vectors without the population mean, as the runtime does without a profile."""
    adaptation = None if checkpoints.speech is None else checkpoints.speech.adaptation
    return vectors if vectors is None or adaptation is None else vectors - adaptation.mean


def speech_outputs(checkpoint: SpeechCheckpoint, sound: Sound) -> dict[str, Floats]:
    """Return ``embedding`` and ``logits`` [clips, width] of a speech checkpoint."""

    def run(features: NDArray[np.float32]) -> dict[str, Floats]:
        found = checkpoint.module(torch.from_numpy(features))
        names = ("embedding", "logits")
        return {n: v.numpy() for n, v in zip(names, found, strict=True) if v is not None}

    with single_threaded(), torch.inference_mode():
        return encode_clips(run, sound.clips)


def text_outputs(
    checkpoint: TextCheckpoint, rows: Sequence[Ids], output: str, pooling: str = "mean"
) -> Floats:
    """Return ``logits`` or ``embedding`` of each row, [rows, width].

    Rows of the same length form a batch, so that no row is padded.
    """
    model = TextOutputs(checkpoint.module, (output,), pooling)
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, ids in enumerate(rows):
        by_length[len(ids)].append(index)
    found: dict[int, Floats] = {}
    with single_threaded(), torch.inference_mode():
        for length, indices in by_length.items():
            step = max(1, _TOKENS_AT_ONCE // length)
            for start in range(0, len(indices), step):
                chosen = indices[start : start + step]
                batch = torch.from_numpy(np.stack([rows[index] for index in chosen]))
                values = model(batch, torch.ones_like(batch))[output].numpy()
                found.update(zip(chosen, values, strict=True))
    return np.stack([found[index] for index in range(len(rows))])


def fusion_logits(
    checkpoint: FusionCheckpoint,
    vectors: Floats,
    embeddings: Floats,
    present: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """Return logits [rows, labels] of the fusion network; ``present`` is (audio, text)."""
    inputs = [torch.from_numpy(vectors), torch.from_numpy(embeddings)]
    if checkpoint.present_input:
        inputs.append(torch.tensor(present).expand(len(vectors), 2))
    with single_threaded(), torch.inference_mode():
        logits: Floats = checkpoint.module(*inputs).numpy()
    return logits


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run PyTorch on one thread, so that results do not depend on the number of cores.

    On a busy machine, one thread is also faster for a small network.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
