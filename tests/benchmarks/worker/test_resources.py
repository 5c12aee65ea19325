"""Memory and CPU time of this process."""

import numpy as np

from emo_bench.worker.resources import cpu_seconds, peak_memory_bytes, resident_memory_bytes


def test_memory_and_cpu_time():
    assert 0 < resident_memory_bytes() <= peak_memory_bytes() * 1.01
    before = cpu_seconds()
    np.sort(np.random.default_rng(0).normal(size=300_000))
    assert cpu_seconds() > before
