"""Whole runs with sleeping engines: interleaved rounds, gaps, and worker processes."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from emo_bench.runner.bench import BenchmarkRun
from emo_bench.runner.client import WorkerFailedError, WorkerProcess
from emo_bench.runner.machine import BusyOthers, fingerprint, package_bytes
from emo_bench.runner.plan import Plan
from emo_bench.worker.resources import cpu_seconds, peak_memory_bytes, resident_memory_bytes

WORKLOAD = {"texts": None, "audio": None, "count": 8, "seed": 0, "with_audio": False}


def plan(*engines, **changes):
    options = {
        "engines": engines,
        "workload": WORKLOAD,
        "scenarios": ("SingleStream",),
        "queries": 60,
        "rounds": 3,
        "max_duration_s": 6.0,
        "threads": 1,
        "bound_ms": 50.0,
        "calls": 1,
        "seed": 0,
        "bundle": None,
    }
    return Plan(**{**options, **changes})


def measured(bench_plan):
    told = []
    bench = BenchmarkRun(bench_plan, told.append)
    try:
        bench.run()
        return bench.report(), told
    finally:
        bench.close()


def test_rounds_are_interleaved_and_all_of_them_counted():
    quick = ("sleeper", {"delays_ms": [2.0]})
    slow = ("sleeper", {"delays_ms": [6.0]})
    report, told = measured(plan(quick, slow))
    first, second = report.engines
    for engine, least in ((first, 2.0), (second, 6.0)):
        [single] = engine.measurements
        assert single.rounds == [20, 20, 20]
        assert len(single.latencies_ms) == 60
        assert min(single.latencies_ms) >= least
        assert single.percentiles["p50"].value >= least
        assert single.percentiles["p99"] is None
        assert single.throughput <= 1e3 / least
        assert engine.costs.phases_ms == {"sleep": least}
        assert engine.peak_memory_bytes > 10 << 20
        assert engine.steady_memory_bytes > 10 << 20
    assert second.accuracy == {"agreement_with_first": 1.0, "largest_difference": 0.0}
    rounds = [line for line in told if "round" in line]
    assert len(rounds) == 6
    assert report.workload["utterances"] == 8


def test_the_server_finds_the_highest_rate_that_meets_the_bound():
    # One thread at 10 ms each: 100 a second at the very most, and less without a long queue.
    engine = ("sleeper", {"delays_ms": [10.0]})
    report, _ = measured(
        plan(engine, scenarios=("Server", "Offline"), queries=40, rounds=1, max_duration_s=3.0)
    )
    server, offline = report.engines[0].measurements
    assert 0 < server.figures["rate"] < offline.throughput <= 101
    assert server.figures["bound_ms"] == 50
    assert server.queue_ms["p50"] is not None
    assert not offline.latencies_ms


def test_a_rival_that_fails_is_a_gap_and_the_others_go_on():
    report, told = measured(plan(("sleeper", {"delays_ms": [1.0]}), ("nobody", {})))
    sleeper, nobody = report.engines
    assert sleeper.failure is None
    assert len(sleeper.measurements) == 1
    assert "the engine 'nobody' is not known" in nobody.failure
    assert any("nobody" in line for line in told)


def test_a_report_can_be_had_before_anything_was_measured():
    bench = BenchmarkRun(plan(("sleeper", {"delays_ms": [1.0]})), lambda _: None)
    report = bench.report(interrupted=True)
    assert report.interrupted
    assert report.engines[0].measurements == []


def test_a_worker_that_dies_says_so():
    with WorkerProcess("sleeper", {"delays_ms": [1.0]}, WORKLOAD, 1) as worker:
        assert worker.concurrency == 1
        assert len(worker.outcomes(3)) == 3
        with pytest.raises(WorkerFailedError, match="AttributeError"):
            worker.ask("nonsense")
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerFailedError, match="its process ended with -9"):
            worker.ask("memory")


def test_the_fingerprint_names_what_matters():
    found = fingerprint()
    assert found["cores_usable"] >= 1
    assert found["versions"]["onnxruntime"]
    assert found["memory_bytes"] > 1 << 30
    assert set(found["cpu_flags"]) <= set(Path("/proc/cpuinfo").read_text().split())
    assert found["cpu"]


def test_what_a_process_costs():
    assert 0 < resident_memory_bytes() <= peak_memory_bytes() * 1.01
    before = cpu_seconds()
    np.sort(np.random.default_rng(0).normal(size=300_000))
    assert cpu_seconds() > before


def test_other_processes_are_told_from_our_own():
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
