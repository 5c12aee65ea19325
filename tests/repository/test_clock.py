"""No result depends on the wall clock: measured times stay correct if it jumps."""

import ast
import time

import pytest

from emo_bench.runner.cold import run_cold
from emo_bench.workload import Sample
from helpers.corpora import ROOT

ROOTS = ("runtime", "models", "export", "benchmarks", "serving")
WALL_CLOCKS = {
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "datetime.now"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"),
}


def test_only_dates_in_reports_and_logs_read_the_wall_clock():
    found = {
        (path.name, ast.unparse(node.func))
        for root in ROOTS
        for path in (ROOT / root).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in WALL_CLOCKS
    }
    assert found == {
        ("bench.py", "datetime.datetime.now"),
        ("request_log.py", "datetime.datetime.now"),
        # Times that protocols ask for: webhooks, Open Inference Protocol, OpenTelemetry.
        ("events.py", "datetime.datetime.now"),
        ("delivery.py", "time.time"),
        ("statistics.py", "time.time"),
        ("tracing.py", "time.time_ns"),
    }


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_changes_no_measured_start(tiny_bundle, monkeypatch, jump_s):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
    measured = run_cold(1, str(tiny_bundle()), 1, Sample("hola", None))
    assert 0 < measured.figures["start_ms"] < 60_000
