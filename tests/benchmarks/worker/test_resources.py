"""Memory and CPU time of this process."""

import numpy as np

from emo_bench.worker import resources
from emo_bench.worker.resources import cpu_seconds, peak_memory_bytes, resident_memory_bytes


def test_memory_and_cpu_time():
    assert 0 < resident_memory_bytes() <= peak_memory_bytes() * 1.01
    before = cpu_seconds()
    np.sort(np.random.default_rng(0).normal(size=300_000))
    assert cpu_seconds() > before


def test_energy_is_the_sum_of_the_processor_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_RAPL", tmp_path)
    assert resources.energy_joules() is None
    for zone, microjoules in (("intel-rapl:0", 2_000_000), ("intel-rapl:1", 500_000)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{microjoules}\n")
    # A part of package 0: it is counted there.
    (tmp_path / "intel-rapl:0:0").mkdir()
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("1000000\n")
    assert resources.energy_joules() == 2.5
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert resources.energy_joules() is None
