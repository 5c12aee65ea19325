"""The reference: the answers of the checkpoint in PyTorch, in float32."""

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
from emo_export.checkpoints.tokenizer import Ids
from emo_models.modeling.text_outputs import TextOutputs

Floats = NDArray[np.float32]

_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True)
class Answers:
    """Logits by task, each [rows, labels]."""

    text: Floats
    fusion: Floats | None = None


def reference(checkpoints: Checkpoints, texts: Sequence[str], mfcc: Floats | None) -> Answers:
    """Return the checkpoint's answers to transcripts and mean MFCC vectors [rows, n_mfcc]."""
    text = checkpoints.text
    logits = text_outputs(text, token_ids(text, texts, strip=text.strip), "logits")
    if checkpoints.fusion is None or checkpoints.encoder is None or mfcc is None:
        return Answers(logits)
    ids = token_ids(checkpoints.encoder, texts, strip=True)
    embeddings = text_outputs(checkpoints.encoder, ids, "embedding")
    return Answers(logits, fusion_logits(checkpoints.fusion, mfcc, embeddings))


def text_outputs(checkpoint: TextCheckpoint, rows: Sequence[Ids], output: str) -> Floats:
    """Return ``logits`` or ``embedding`` of each row, [rows, width].

    Rows of the same length go through the network together: without padding, as one by one.
    """
    model = TextOutputs(checkpoint.module, (output,))
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
    mfcc: Floats,
    embeddings: Floats,
    present: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """Return logits [rows, labels] of the fusion network; ``present`` is (audio, text)."""
    inputs = [torch.from_numpy(mfcc), torch.from_numpy(embeddings)]
    if checkpoint.present_input:
        inputs.append(torch.tensor(present).expand(len(mfcc), 2))
    with single_threaded(), torch.inference_mode():
        logits: Floats = checkpoint.module(*inputs).numpy()
    return logits


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run PyTorch on one thread, so that results do not depend on the number of cores.

    On a busy machine that is also faster for a small network, whose threads wait for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
