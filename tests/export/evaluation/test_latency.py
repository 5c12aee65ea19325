"""The latency estimate of an export: what is timed, and that the fastest configuration counts."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation import latency
from emo_export.evaluation.latency import Speed, speed
from emo_export.torch_export import graph


class Clock:
    """A clock that only the answers move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)

    def answer(self, *durations_ms: float) -> Callable[[Any], object]:
        """Return an answer that takes these times in turn; the first is not measured."""
        left = list(durations_ms) * 2

        def take(_: Any) -> None:
            self.now_s += left.pop(0) / 1e3

        return take


def test_the_median_of_the_fastest_configuration_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    rivals = {
        "pytorch": [clock.answer(100, 9, 7, 8), clock.answer(100, 30, 30, 30)],
        "int8": [clock.answer(100, 4, 2, 90)],
    }
    found = latency._medians(rivals, [np.zeros(1)] * 3)
    assert found == {"pytorch": 8.0, "int8": 4.0}


def test_every_graph_but_fusion_is_timed_against_pytorch(
    maker: Any, loaded: Callable[..., Checkpoints]
) -> None:
    encoder = maker.encoder()
    checkpoints = loaded(maker.text(), encoder, maker.fusion(encoder))
    graphs = graph(checkpoints)
    found = speed(checkpoints, {name: {"fp32": graphs[name]} for name in graphs}, ["hola", "adiós"])
    assert [(item.graph, item.precision) for item in found] == [
        ("text", "fp32"),
        ("encoder", "fp32"),
    ]
    assert all(item.latency_ms > 0 and item.reference_ms > 0 for item in found)


def test_the_ratio_is_a_share_of_pytorchs_time() -> None:
    document = Speed("text", "int8", 2.0, 8.0).as_json()
    assert document == {
        "graph": "text",
        "precision": "int8",
        "latency_ms": 2.0,
        "reference_ms": 8.0,
        "ratio": 0.25,
    }
