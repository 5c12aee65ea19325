"""The scenarios of LoadGen on an engine that sleeps for known times."""

import threading
import time

import numpy as np
import pytest

from emo_bench.engines.base import Outcome
from emo_bench.engines.fake import Sleeper
from emo_bench.report.estimates import estimate, percentile
from emo_bench.worker.loadgen import SAMPLES_PER_QUERY, EngineFailedError, run_load
from emo_bench.worker.protocol import LoadSettings
from emo_bench.workload import Sample

SAMPLES = [Sample(f"hola {number}", None) for number in range(32)]
# Of ten utterances nine are quick and one is slow.
DELAYS_MS = [4.0, 6.0, 4.0, 6.0, 4.0, 30.0, 4.0, 6.0, 4.0, 6.0]
SUMMARY = {50.0: "50.00", 90.0: "90.00", 95.0: "95.00", 99.0: "99.00", 99.9: "99.90"}


class Watched(Sleeper):
    """A sleeper that records how long it slept: on a busy machine longer than requested."""

    def __init__(self, delays_ms, concurrency=1):
        super().__init__(delays_ms, concurrency)
        self.slept_ms = []

    def answer(self, sample):
        start = time.perf_counter()
        outcome = super().answer(sample)
        self.slept_ms.append((time.perf_counter() - start) * 1e3)
        return outcome


def agrees_with_loadgen(load, kind="latency", percentile_kind="percentile_latency"):
    for wanted, name in SUMMARY.items():
        theirs = load.summary[f"{name}_{percentile_kind}_ns"] / 1e6
        # LoadGen takes the value at floor(n * share), at most one place from ours.
        ordered = np.sort(load.latencies_ms)
        near = np.searchsorted(ordered, [theirs - 1e-6, theirs + 1e-6])
        place = np.searchsorted(ordered, percentile(ordered, wanted))
        assert near[0] < near[1], "LoadGen names a latency that the report does not have"
        assert near[0] - 1 <= place <= near[1]
    assert load.summary[f"mean_{kind}_ns"] / 1e6 == pytest.approx(
        load.latencies_ms.mean(), rel=1e-4
    )


def test_single_stream():
    engine = Watched(DELAYS_MS)
    load = run_load(engine, SAMPLES, LoadSettings("SingleStream", 200, 20.0))
    assert load.answered == len(load.latencies_ms) == len(engine.slept_ms) == 200
    for wanted in (50.0, 90.0, 95.0):
        found = estimate(load.latencies_ms, wanted)
        slept = percentile(np.array(engine.slept_ms), wanted)
        assert found.low - 1 <= slept <= found.high
    assert (load.latencies_ms >= np.array(engine.slept_ms) - 0.01).all()
    # Where the machine is busy, an answer or a query may be late, but not every one.
    assert np.min(load.latencies_ms - engine.slept_ms) < 1
    assert load.throughput <= 1.001e3 / load.latencies_ms.mean()
    assert load.throughput == pytest.approx(load.summary["qps_with_loadgen_overhead"], rel=0.1)
    agrees_with_loadgen(load)


def test_multi_stream_counts_the_slowest_of_a_query():
    engine = Watched(DELAYS_MS, concurrency=2)
    load = run_load(engine, SAMPLES, LoadSettings("MultiStream", 40, 20.0))
    assert len(load.latencies_ms) == 40
    assert load.answered == 40 * SAMPLES_PER_QUERY
    # Two threads share eight samples: the query takes at least half of what they slept.
    total = np.array(engine.slept_ms[: load.answered]).reshape(40, SAMPLES_PER_QUERY).sum(axis=1)
    assert (load.latencies_ms > 0.45 * total).all()
    assert np.median(load.latencies_ms / total) < 1
    agrees_with_loadgen(load, "query_latency", "percentile_per_query_latency")


def test_offline_is_throughput():
    engine = Watched([5.0], concurrency=2)
    load = run_load(engine, SAMPLES, LoadSettings("Offline", 200, 20.0))
    assert 190 <= load.answered <= 240
    assert not len(load.latencies_ms)
    # More than one thread could answer, and no more than both.
    assert 1.1e3 < load.throughput * np.mean(engine.slept_ms) <= 2.02e3
    assert load.throughput == pytest.approx(load.summary["samples_per_second"], rel=0.05)


def test_server_keeps_its_rate_and_its_queue():
    engine = Watched([4.0])
    load = run_load(engine, SAMPLES, LoadSettings("Server", 300, 20.0, rate=60.0))
    assert len(load.latencies_ms) >= 300
    assert load.throughput == pytest.approx(60, rel=0.2)
    # M/D/1 queue at this load: most wait for nobody, some do.
    assert percentile(load.latencies_ms, 50) < percentile(load.latencies_ms, 95)
    assert (load.latencies_ms >= 4).all()
    agrees_with_loadgen(load)


def test_a_stall_is_charged_for_the_queue_that_it_causes():
    delays_ms = [1.0] * 60 + [1_000.0] + [1.0] * 10_000
    engine = Watched(delays_ms)
    load = run_load(engine, SAMPLES, LoadSettings("Server", 200, 30.0, rate=20.0))
    naive = percentile(np.sort(engine.slept_ms)[: len(load.latencies_ms)], 99)
    assert naive < 100, "one stall is lost in the time that the engine itself takes"
    assert percentile(load.latencies_ms, 99) > 700
    # About 20 requests arrived meanwhile and waited.
    assert 8 <= (load.latencies_ms > 100).sum() <= 40
    agrees_with_loadgen(load)


def test_another_seed_asks_in_another_order():
    def asked(seed):
        return run_load(
            Sleeper([0.1], 1), SAMPLES, LoadSettings("SingleStream", 50, 5.0, seed=seed)
        )

    first, again, other = asked(1), asked(1), asked(2)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert (first.samples != other.samples).any()


def test_it_ends_when_the_time_is_up():
    start = time.perf_counter()
    load = run_load(Sleeper([20.0], 1), SAMPLES, LoadSettings("SingleStream", 100_000, 0.5))
    assert time.perf_counter() - start < 600  # all queries would take 2,000 s
    assert 1 <= load.answered <= 40


def test_an_engine_that_fails_ends_the_run():
    class Failing(Sleeper):
        def answer(self, sample):
            if self._turn == 5:
                raise ValueError("the rival fell over")
            return super().answer(sample)

    with pytest.raises(EngineFailedError, match="ValueError: the rival fell over"):
        run_load(Failing([0.1], 1), SAMPLES, LoadSettings("SingleStream", 100, 20.0))


def test_an_engine_is_asked_by_as_many_threads_as_it_wants():
    seen, both = set(), threading.Barrier(2, timeout=300)

    class Meeting(Sleeper):
        def answer(self, sample):
            seen.add(threading.get_ident())
            both.wait()
            return Outcome("joy", {"joy": 1.0})

    run_load(Meeting([0.0], 2), SAMPLES, LoadSettings("MultiStream", 2, 20.0))
    assert len(seen) == 2
