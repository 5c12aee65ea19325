"""Whole runs with sleeping engines: interleaved rounds, and engines that fail."""

from emo_bench.runner.bench import BenchmarkRun
from emo_bench.runner.plan import Plan
from helpers.workloads import TEXT_ONLY


def plan(*engines, **changes):
    options = {
        "engines": engines,
        "workload": TEXT_ONLY,
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
    progress = []
    bench = BenchmarkRun(bench_plan, progress.append)
    try:
        bench.run()
        return bench.report(), progress
    finally:
        bench.close()


def test_rounds_are_interleaved_and_all_of_them_counted():
    quick = ("sleeper", {"delays_ms": [2.0]})
    slow = ("sleeper", {"delays_ms": [6.0]})
    report, progress = measured(plan(quick, slow))
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
    rounds = [line for line in progress if "round" in line]
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


def test_a_rival_that_fails_is_a_gap_and_the_others_continue():
    report, progress = measured(plan(("sleeper", {"delays_ms": [1.0]}), ("nobody", {})))
    sleeper, nobody = report.engines
    assert sleeper.failure is None
    assert len(sleeper.measurements) == 1
    assert "unknown engine 'nobody'" in nobody.failure
    assert any("nobody" in line for line in progress)


def test_a_report_is_available_before_anything_was_measured():
    bench = BenchmarkRun(plan(("sleeper", {"delays_ms": [1.0]})), lambda _: None)
    report = bench.report(interrupted=True)
    assert report.interrupted
    assert report.engines[0].measurements == []


def test_a_slow_engine_gets_fewer_queries_within_a_time_limit_of_the_run():
    """Offline is one query, which LoadGen's own limit does not end: 60 would take 18 s alone."""
    engine = ("sleeper", {"delays_ms": [300.0]})
    report, _ = measured(
        plan(engine, scenarios=("SingleStream", "Offline"), queries=60, rounds=1, budget_s=4.0)
    )
    [single, offline] = report.engines[0].measurements
    assert 1 <= len(single.latencies_ms) < 60
    assert 1 <= offline.settings["queries"] < 60
