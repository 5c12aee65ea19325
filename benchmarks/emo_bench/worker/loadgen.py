"""Drive an engine with MLPerf's LoadGen: SingleStream, MultiStream, Server (Poisson), Offline.

Latencies come from LoadGen's own trace: the time from when a sample was *scheduled* to its
completion. In the Server scenario, queries arrive as a Poisson process, and the latency includes
the time in the queue.
"""

import queue
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_loadgen as loadgen
import numpy as np
from numpy.typing import NDArray

from emo_bench.engines.base import Engine, Outcome
from emo_bench.worker.protocol import LoadSettings, Scenario
from emo_bench.workload import Sample

SAMPLES_PER_QUERY = 8


@dataclass(frozen=True, eq=False)
class Load:
    """Result of one LoadGen run.

    Attributes:
        latencies_ms: One value per query (MultiStream: its slowest sample; Offline: empty).
        queue_ms: Time that each sample waited for the engine.
        samples: Index of the sample of each query (MultiStream: of the slowest).
        duration_s: From the first scheduled sample to the last completion.
        answered: Number of samples.
        outcomes: Answers by the index of the sample.
        summary: LoadGen's own results by their keys.
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
        """Utterances per second."""
        return self.answered / self.duration_s


class EngineFailedError(Exception):
    """An engine raised while it was measured."""


def run_load(engine: Engine, samples: Sequence[Sample], settings: LoadSettings) -> Load:
    """Run one scenario over ``samples``. Raises EngineFailedError."""
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
    """Answer LoadGen's queries in ``engine.concurrency`` threads."""

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
        """Enqueue queries (LoadGen's issue callback)."""
        now = time.perf_counter()
        for query in queries:
            self._waiting.put((query.id, query.index, now))

    def flush(self) -> None:
        """Do nothing: queries are never held back (LoadGen's flush callback)."""

    def stop(self) -> None:
        """Stop the threads."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            identity, index, taken = item
            self.queue_ms.append((time.perf_counter() - taken) * 1e3)
            try:
                # LoadGen waits for every completion, also after an error.
                if self.error is None:
                    self.outcomes[index] = self._engine.answer(self._samples[index])
            except Exception as error:  # noqa: BLE001  (an engine may raise anything)
                self.error = f"{type(error).__name__}: {error}"
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(identity, 0, 0)])


def _nothing(_: Sequence[int]) -> None:
    """Do nothing: the samples are always in memory."""


def _test_settings(settings: LoadSettings) -> Any:
    test = loadgen.TestSettings()
    test.scenario = getattr(loadgen.TestScenario, settings.scenario)
    test.mode = loadgen.TestMode.PerformanceOnly
    test.min_duration_ms = 0
    test.max_duration_ms = round(settings.max_duration_s * 1e3)
    test.multi_stream_samples_per_query = SAMPLES_PER_QUERY
    test.server_target_qps = settings.rate
    if settings.scenario == "Offline":
        # One query of expected_qps * min_duration samples; LoadGen adds 10 %.
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


# Read line by line: as a whole, mlperf_log_trace.json of LoadGen 6.0 is not valid JSON.
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
    # Sorted by query, the slowest sample of each query last.
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
