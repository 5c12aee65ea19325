"""Description of the machine and its load."""

from pathlib import Path

import numpy as np

from emo_bench.runner.machine import BusyOthers, fingerprint, package_bytes
from emo_bench.worker.resources import cpu_seconds


def test_the_fingerprint_names_what_matters():
    found = fingerprint()
    assert found["cores_usable"] >= 1
    assert found["versions"]["onnxruntime"]
    assert found["memory_bytes"] > 1 << 30
    assert set(found["cpu_flags"]) <= set(Path("/proc/cpuinfo").read_text().split())
    assert found["cpu"]


def test_load_of_other_processes_excludes_our_own():
    others = BusyOthers()
    before = cpu_seconds()
    for _ in range(30):
        np.sort(np.random.default_rng(0).normal(size=300_000))
    all_of_it = others.share()
    others.count_own(cpu_seconds() - before)
    assert 0 <= others.share() < all_of_it <= 1.2


def test_the_size_of_the_package_counts_what_it_needs():
    import onnxruntime

    size = package_bytes()
    assert size == 0 or size > Path(onnxruntime.__file__).stat().st_size
