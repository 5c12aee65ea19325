"""Invented reports of emo-bench."""

import msgspec
import numpy as np

from emo_bench.report.schema import Costs, EngineReport, Report, measure

MACHINE = {
    "cpu": "A CPU",
    "cores_usable": 2,
    "cores_from": "affinity",
    "python": "3.11",
    "versions": {"onnxruntime": "1.32"},
    "busy_others": 0.02,
}


def report(scale: float = 1.0, seed: int = 0, count: int = 2_000, **changes: object) -> Report:
    """Lognormal latencies of one engine, and one rival that is a gap."""
    draw = np.random.default_rng(seed)
    rounds = [scale * draw.lognormal(1, 0.3, count // 4) for _ in range(4)]
    tokens = draw.integers(5, 60, count).tolist()
    engine = EngineReport(
        "emo",
        open_s=0.2,
        peak_memory_bytes=100 << 20,
        costs=Costs(0.003, {"front_end": 1.5, "text": 2.0, "total": 3.6}, None),
        measurements=[
            measure("SingleStream", rounds, throughput=300.0, tokens=tokens),
            measure("Offline", [], throughput=500.0),
            measure("Server", rounds, throughput=90.0, figures={"rate": 88.0}),
        ],
    )
    whole = Report(
        schema="emo-report/1",
        created="2026-01-01T00:00:00+00:00",
        machine=MACHINE,
        workload={"utterances": 256},
        engines=[engine, EngineReport("rival", failure="torch is not installed")],
    )
    return msgspec.structs.replace(whole, **changes)
