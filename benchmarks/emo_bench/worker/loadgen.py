"""MLPerf's LoadGen drives the load; here are its settings, our server of queries, its findings.

Latencies come from LoadGen's own trace: for each sample the time from when it was *scheduled* to
its completion, so that in the Server scenario a stalled engine is charged for the queue it causes.
"""

import queue
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlperf_loadgen as loadgen
import numpy as np
from numpy.typing import NDArray

from emo_bench.engines.base import Engine, Outcome
from emo_bench.workload import Sample

Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
SAMPLES_PER_QUERY = 8


@dataclass(frozen=True)
class Settings:
    """One run of LoadGen: at least ``queries`` queries (Offline: samples), unless the time is up.

    ``rate`` is the Server scenario's, in queries a second (of the others: what is expected).
    """

    scenario: Scenario
    queries: int
    max_duration_s: float
    rate: float = 1000.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Load:
    """What LoadGen found.

    ``latencies_ms`` has a value for each query, of MultiStream its slowest sample's; it is empty
    for Offline, whose samples all arrive at once. ``samples`` are the indices of what was asked
    (of each query the first), ``queue_ms`` how long each sample waited for the engine.
    ``summary`` holds LoadGen's own results by their keys.
    """

    latencies_ms: NDArray[np.float64]
    queue_ms: NDArray[np.float64]
    samples: NDArray[np.int64]
    duration_s: float
    answered: int
    outcomes: dict[int, Outcome]
    summary: dict[str, float]

    @property
    def throughput(self) -> float:
        """Utterances a second."""
        return self.answered / self.duration_s


class EngineFailedError(Exception):
    """An engine raised while it was measured."""


def run_load(engine: Engine, samples: Sequence[Sample], settings: Settings) -> Load:
    """Let LoadGen ask ``engine`` about ``samples``. Raises EngineFailedError."""
    server = _Server(engine, samples)
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as folder:
        try:
            sut = loadgen.ConstructSUT(server.take, server.flush)
            library = loadgen.ConstructQSL(len(samples), len(samples), _nothing, _nothing)
            loadgen.StartTestWithLogSettings(
                sut, library, _test_settings(settings), _log_settings(folder)
            )
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(sut)
        finally:
            server.stop()
        if server.error is not None:
            raise EngineFailedError(server.error)
        return _read(Path(folder), settings.scenario, server)


class _Server:
    """Answers queries in as many threads as the engine can use at once."""

    def __init__(self, engine: Engine, samples: Sequence[Sample]) -> None:
        self._engine = engine
        self._samples = samples
        self._waiting: queue.SimpleQueue[tuple[int, int, float] | None] = queue.SimpleQueue()
        self.outcomes: dict[int, Outcome] = {}
        self.queue_ms: list[float] = []
        self.error: str | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
            for number in range(engine.concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def take(self, queries: Sequence[Any]) -> None:
        """LoadGen's queries, to be answered in their order."""
        now = time.perf_counter()
        for query in queries:
            self._waiting.put((query.id, query.index, now))

    def flush(self) -> None:
        """LoadGen says that no more queries follow; nothing is held back here."""

    def stop(self) -> None:
        """Let the threads end."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            identity, index, taken = item
            self.queue_ms.append((time.perf_counter() - taken) * 1e3)
            try:
                # After an error the rest is only waved through: LoadGen waits for every answer.
                if self.error is None:
                    self.outcomes[index] = self._engine.answer(self._samples[index])
            except Exception as error:  # noqa: BLE001  (whatever a rival raises)
                self.error = f"{type(error).__name__}: {error}"
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(identity, 0, 0)])


def _nothing(_: Sequence[int]) -> None:
    """Samples are in memory all the time."""


def _test_settings(settings: Settings) -> Any:
    test = loadgen.TestSettings()
    test.scenario = getattr(loadgen.TestScenario, settings.scenario)
    test.mode = loadgen.TestMode.PerformanceOnly
    test.min_duration_ms = 0
    test.max_duration_ms = round(settings.max_duration_s * 1e3)
    test.multi_stream_samples_per_query = SAMPLES_PER_QUERY
    test.server_target_qps = settings.rate
    if settings.scenario == "Offline":
        # One query; its size is expected_qps * min_duration (and 10 % more, LoadGen's slack).
        test.offline_expected_qps = settings.queries / 1.1
        test.min_duration_ms = 1000
        test.min_query_count = 1
    else:
        test.min_query_count = settings.queries
    for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"):
        setattr(test, name, settings.seed)
    return test


def _log_settings(folder: str) -> Any:
    log = loadgen.LogSettings()
    log.enable_trace = True
    log.log_output.outdir = folder
    log.log_output.copy_summary_to_stdout = False
    return log


# Lines of mlperf_log_trace.json: whole, it is no valid JSON (LoadGen 6.0).
_SAMPLE = re.compile(
    rb'"name":"Sample",.*"ph":"b",.*"ts":(-?[0-9.]+),.*"query_seq":(\d+),"sample_idx":(\d+),'
    rb'"issue_start_ns":-?\d+,"complete_ns":(-?\d+)'
)
_RESULT = re.compile(rb'"key": "result_([^"]+)", "value": ([0-9][0-9.eE+-]*),')


def _read(folder: Path, scenario: Scenario, server: _Server) -> Load:
    found = _SAMPLE.findall((folder / "mlperf_log_trace.json").read_bytes())
    table = np.array(found, np.float64).reshape(-1, 4)
    scheduled_s, queries, samples, latencies_ms = table.T / np.array([[1e6], [1], [1], [1e6]])
    ends_s = scheduled_s + latencies_ms / 1e3
    duration_s = float(ends_s.max() - scheduled_s.min())
    # Sorted by query, of a query the slowest sample last.
    order = np.lexsort((latencies_ms, queries))
    last_of_query = np.append(np.diff(queries[order]) > 0, True)
    results = _RESULT.findall((folder / "mlperf_log_detail.txt").read_bytes())
    chosen = order[last_of_query]
    if scenario == "Offline":
        chosen = chosen[:0]
    return Load(
        latencies_ms=latencies_ms[chosen],
        queue_ms=np.array(server.queue_ms),
        samples=samples[chosen].astype(np.int64),
        duration_s=duration_s,
        answered=len(table),
        outcomes=server.outcomes,
        summary={key.decode(): float(value) for key, value in results},
    )
