"""How long an answer to a transcript takes: PyTorch and each variant in turn, on this machine.

A first impression for the terminal (emo-bench measures in earnest): times never go into a bundle.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from emo_export.graph import TextOutputs
from emo_export.load import Checkpoints
from emo_export.reference import token_ids
from emo_export.session import GraphSession

_TEXTS = 16
_ROUNDS = 3


@dataclass(frozen=True)
class Speed:
    """Median milliseconds of a text graph, one transcript at a time; PyTorch's is the reference."""

    graph: str
    precision: str
    latency_ms: float
    reference_ms: float

    @property
    def ratio(self) -> float:
        """Time as a share of PyTorch's."""
        return self.latency_ms / self.reference_ms

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "ratio": round(self.ratio, 3)}


def speed(
    checkpoints: Checkpoints,
    variants: Mapping[str, Mapping[str, onnx.ModelProto]],
    texts: Sequence[str],
) -> tuple[Speed, ...]:
    """Median times over some of the texts, the rivals in turn on each.

    ``variants`` are the graphs ``text`` and ``encoder``, by precision or another name for each.
    """
    chosen = texts[:: max(1, len(texts) // _TEXTS)][:_TEXTS]
    result = []
    for name in ("text", "encoder"):
        checkpoint = checkpoints.text if name == "text" else checkpoints.encoder
        if name not in variants or checkpoint is None:
            continue
        rows = token_ids(checkpoint, chosen, strip=True)
        output = "logits" if name == "text" else "embedding"
        model = TextOutputs(checkpoint.module, (output,))

        def in_pytorch(ids: NDArray[np.int64], model: torch.nn.Module = model) -> None:
            with torch.inference_mode():
                tensor = torch.from_numpy(ids[np.newaxis])
                model(tensor, torch.ones_like(tensor))

        rivals: dict[str, Callable[[NDArray[np.int64]], object]] = {"pytorch": in_pytorch}
        for precision, graph in variants[name].items():
            rivals[precision] = GraphSession(graph, all_cores=True).text
        medians = _medians(rivals, rows)
        result += [
            Speed(name, precision, medians[precision], medians["pytorch"])
            for precision in variants[name]
        ]
    return tuple(result)


def _medians(
    rivals: Mapping[str, Callable[[NDArray[np.int64]], object]], rows: Sequence[NDArray[np.int64]]
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for ids in rows:
        for name, answer in rivals.items():
            answer(ids)
            for _ in range(_ROUNDS):
                start = time.perf_counter()
                answer(ids)
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(float(np.median(values)), 3) for name, values in times.items()}
