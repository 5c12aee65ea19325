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

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.session import GraphSession
from emo_models.modeling.text_outputs import TextOutputs

Answer = Callable[[NDArray[np.int64]], object]

_TEXTS = 12
_ROUNDS = 2
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Speed:
    """Median milliseconds of a text graph, one transcript at a time; PyTorch's is the reference.

    Each with one thread or with all cores, whichever is faster: on a busy machine threads that
    wait for each other make a small network slow, and PyTorch's more so.
    """

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
    """Median times over some of the texts, the rivals in turn.

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
        rivals = {"pytorch": [_in_pytorch(model, threads) for threads in _thread_counts()]}
        for precision, graph in variants[name].items():
            rivals[precision] = [
                GraphSession(graph, all_cores=all_cores).text for all_cores in (False, True)
            ]
        medians = _medians(rivals, rows)
        result += [
            Speed(name, precision, medians[precision], medians["pytorch"])
            for precision in variants[name]
        ]
    return tuple(result)


def _thread_counts() -> tuple[int, int]:
    return 1, torch.get_num_threads()


def _in_pytorch(model: torch.nn.Module, threads: int) -> Answer:
    def answer(ids: NDArray[np.int64]) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        with torch.inference_mode():
            tensor = torch.from_numpy(ids[np.newaxis])
            model(tensor, torch.ones_like(tensor))
        torch.set_num_threads(before)

    return answer


def _medians(
    rivals: Mapping[str, Sequence[Answer]], rows: Sequence[NDArray[np.int64]]
) -> dict[str, float]:
    """The rivals in turn, twice, each over all rows; of each rival's ways, the fastest.

    Idle threads of ONNX Runtime wait actively for a while: each rival begins after a pause.
    """
    times: dict[str, list[list[float]]] = {
        name: [[] for _ in ways] for name, ways in rivals.items()
    }
    for _ in range(_ROUNDS):
        for name, ways in rivals.items():
            for answer, found in zip(ways, times[name], strict=True):
                time.sleep(_PAUSE_S)
                answer(rows[0])
                for ids in rows:
                    start = time.perf_counter()
                    answer(ids)
                    found.append(1e3 * (time.perf_counter() - start))
    return {
        name: round(min(float(np.median(found)) for found in ways), 3)
        for name, ways in times.items()
    }
