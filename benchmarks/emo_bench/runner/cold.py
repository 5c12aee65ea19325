"""The cold scenario: start fresh processes and measure the time to the first answer."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from emo_bench.report.schema import Measurement, measure
from emo_bench.runner.client import run_python
from emo_bench.workload import Sample

# Fewest processes, whatever the time limit.
_LEAST = 3


def run_cold(
    count: int,
    bundle: str | None,
    threads: int | None,
    sample: Sample,
    limit_s: float | None = None,
) -> Measurement:
    """Measure ``count`` fresh processes, in total and by step; fewer after ``limit_s`` seconds.

    One unmeasured process runs first, so that the files are in the page cache and the result of
    the self-test is cached.
    """
    steps: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as folder:
        audio = None
        if sample.audio is not None:
            audio = Path(folder, "utterance")
            audio.write_bytes(sample.audio)
        begun = time.monotonic()
        for number in range(count + 1):
            late = limit_s is not None and time.monotonic() - begun > limit_s
            if late and number > _LEAST:
                break
            request = {
                "bundle": bundle,
                "threads": threads,
                "text": sample.text or None,
                "audio": None if audio is None else str(audio),
                "started": time.monotonic(),
            }
            found = json.loads(run_python("-m", "emo_bench.worker.cold_start", json.dumps(request)))
            if number:
                for name, milliseconds in found.items():
                    steps.setdefault(name, []).append(milliseconds)
    total = np.sum(list(steps.values()), axis=0)
    return measure(
        "cold",
        [total],
        throughput=1e3 / float(total.mean()),
        figures={f"{name}_ms": float(np.median(values)) for name, values in steps.items()},
        settings={"processes": len(total)},
    )
