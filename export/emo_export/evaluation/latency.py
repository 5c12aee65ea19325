"""Latency of PyTorch and of each variant on this machine, for a transcript or 5 s of sound.

A quick estimate for the terminal; emo-bench is the real benchmark. A bundle contains no times.
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
from emo_export.evaluation.synthetic_clips import synthetic_clips
from emo_models.modeling.text_outputs import TextOutputs
from emo_runtime.audio.front_end import make_front_end

Array = NDArray[Any]
Answer = Callable[[Array], object]

SOUND_S = 5.0

_TEXTS = 12
_ROUNDS = 2
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Speed:
    """Median latency of a graph in ms, one utterance at a time, with PyTorch as the reference.

    Each is the faster of one thread and all cores: on a busy machine, thread synchronization slows
    a small network down, especially in PyTorch.
    """

    graph: str
    precision: str
    latency_ms: float
    reference_ms: float

    @property
    def ratio(self) -> float:
        """Latency as a share of PyTorch's."""
        return self.latency_ms / self.reference_ms

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "ratio": round(self.ratio, 3)}


def speed(
    checkpoints: Checkpoints,
    variants: Mapping[str, Mapping[str, onnx.ModelProto]],
    texts: Sequence[str],
) -> tuple[Speed, ...]:
    """Return median latencies over some of the texts, or of 5 s of sound, measured in turn.

    ``variants`` are the graphs except fusion, by precision or another name.
    """
    chosen = texts[:: max(1, len(texts) // _TEXTS)][:_TEXTS]
    result = []
    for name, graphs in variants.items():
        if name == "fusion":
            continue
        rows, in_pytorch, in_session = _task(checkpoints, name, chosen)
        rivals = {"pytorch": [_with_threads(in_pytorch, count) for count in _thread_counts()]}
        for precision, graph in graphs.items():
            rivals[precision] = [
                in_session(GraphSession(graph, all_cores=all_cores)) for all_cores in (False, True)
            ]
        medians = _medians(rivals, rows)
        result += [
            Speed(name, precision, medians[precision], medians["pytorch"]) for precision in graphs
        ]
    return tuple(result)


def _task(
    checkpoints: Checkpoints, name: str, texts: Sequence[str]
) -> tuple[Sequence[Array], Answer, Callable[[GraphSession], Answer]]:
    """Return the inputs of a graph, the PyTorch network, and a function that runs a session."""
    if name == "speech" and checkpoints.speech is not None:
        speech = checkpoints.speech
        front_end, module = make_front_end(speech.front_end), speech.module
        clip = np.resize(synthetic_clips()[-1], round(SOUND_S * front_end.sample_rate))
        [part] = front_end.whole(clip).parts[:1]

        def listen(session: GraphSession) -> Answer:
            return lambda features: session.run(**{speech.input_name: features})

        return [part] * _ROUNDS, lambda row: module(torch.from_numpy(row)), listen
    checkpoint = checkpoints.text if name == "text" else checkpoints.encoder
    if checkpoint is None:
        raise ValueError(f"no checkpoint for the graph {name!r}")
    model = TextOutputs(checkpoint.module, ("logits" if name == "text" else "embedding",))

    def read(row: Array) -> object:
        tensor = torch.from_numpy(row[np.newaxis])
        return model(tensor, torch.ones_like(tensor))

    return token_ids(checkpoint, texts, strip=True), read, lambda session: session.text


def _thread_counts() -> tuple[int, int]:
    return 1, torch.get_num_threads()


def _with_threads(answer: Answer, threads: int) -> Answer:
    def with_threads(row: Array) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        with torch.inference_mode():
            answer(row)
        torch.set_num_threads(before)

    return with_threads


def _medians(rivals: Mapping[str, Sequence[Answer]], rows: Sequence[Array]) -> dict[str, float]:
    """Time the candidates in turn, twice, over all rows; keep each one's fastest configuration.

    Idle threads of ONNX Runtime spin for a while, so each candidate starts after a pause.
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
