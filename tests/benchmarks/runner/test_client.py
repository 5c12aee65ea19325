"""Worker processes: typed requests, errors, and processes that die."""

import os
import signal

import pytest

from emo_bench.runner.client import WorkerFailedError, WorkerProcess, run_python
from emo_bench.worker.protocol import (
    CallsResult,
    Done,
    GetMemory,
    MemoryResult,
    Open,
    Opened,
    RunCalls,
    WarmUp,
)
from helpers.workloads import TEXT_ONLY

SLEEPER = {"delays_ms": [1.0]}


def test_requests_of_an_open_worker():
    with WorkerProcess("sleeper", SLEEPER, TEXT_ONLY, 1) as worker:
        assert worker.opened.concurrency == 1
        assert worker.opened.description == SLEEPER
        assert worker.ask(WarmUp(2), Done) == Done()
        assert [item.label for item in worker.outcomes(3)] == ["joy"] * 3
        memory = worker.ask(GetMemory(), MemoryResult)
        assert memory.peak_bytes >= memory.resident_bytes > 10 << 20


def test_an_error_in_the_worker_is_raised_and_the_worker_continues():
    with WorkerProcess("sleeper", SLEEPER, TEXT_ONLY, 1) as worker:
        with pytest.raises(WorkerFailedError, match="the engine is already open"):
            worker.ask(Open("sleeper", SLEEPER, TEXT_ONLY), Opened)
        with pytest.raises(WorkerFailedError, match="the engine has no streams"):
            worker.ask(RunCalls(1, 1.0, 0), CallsResult)
        assert worker.ask(WarmUp(1), Done) == Done()


def test_a_killed_worker_is_reported_with_its_exit_code():
    with WorkerProcess("sleeper", SLEEPER, TEXT_ONLY, 1) as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(WorkerFailedError, match="exited with code -9"):
            worker.ask(GetMemory(), MemoryResult)


def test_run_python_reports_the_last_line_of_a_failure():
    assert run_python("-c", "print(1)") == "1\n"
    with pytest.raises(WorkerFailedError, match="ValueError: no"):
        run_python("-c", "raise ValueError('no')")
