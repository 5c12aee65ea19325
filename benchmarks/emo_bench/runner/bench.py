"""A benchmark run: all engines in interleaved rounds, each engine in its own process."""

import datetime
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from emo_bench.accuracy import against_labels, agreement
from emo_bench.engines.base import Outcome
from emo_bench.engines.registry import OURS
from emo_bench.report.estimates import needed_samples, percentile
from emo_bench.report.schema import Costs, Report, measure
from emo_bench.runner import machine
from emo_bench.runner.budget import Budget
from emo_bench.runner.client import WorkerFailedError, WorkerProcess
from emo_bench.runner.cold import run_cold
from emo_bench.runner.engine_run import EngineRun, Round, engine_report
from emo_bench.runner.plan import Plan
from emo_bench.worker.loadgen import SAMPLES_PER_QUERY
from emo_bench.worker.protocol import (
    CallsResult,
    CostsResult,
    Done,
    GetMemory,
    LoadResult,
    LoadSettings,
    MeasureCosts,
    MemoryResult,
    RunCalls,
    RunLoad,
    Scenario,
    WarmUp,
)
from emo_bench.workload import load_samples

LOADGEN_SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Server", "Offline")
_WARM_UP = 20
_CHECKED = 64
# Share of the time for comparing answers, and the fewest utterances, where the time is limited.
_CHECKING_SHARE = 0.05
_LEAST_CHECKED = 16
# Halvings of the interval of rates: its width is below 10 % of the capacity after four.
_RATES_TRIED = 4
# Shortest run of calls: utterances last about 9 s, and few would be complete in a shorter one.
_STREAM_S = 15.0
# Longest utterance: one that begins just before the end of the run is still completed.
_LONGEST_S = 15.0
# Idle threads of an engine spin for a while before they sleep.
_SETTLE_S = 0.3


class BenchmarkRun:
    """A run of a plan. ``report()`` may be called at any time."""

    def __init__(self, plan: Plan, on_progress: Callable[[str], None]) -> None:
        self._plan = plan
        self._on_progress = on_progress
        self._runs = [EngineRun(name, options) for name, options in plan.engines]
        self._samples = load_samples(plan.workload)
        self._tokens: list[int] = [0] * len(self._samples)
        self._machine = machine.fingerprint()
        self._load_before = machine.load_average()
        self._others = machine.BusyOthers()
        self._with_sound = any(sample.audio for sample in self._samples)
        self._budget = None
        if plan.budget_s is not None:
            timed = [it for it in plan.scenarios if it != "stream" or self._with_sound]
            self._budget = Budget(plan.budget_s, timed)
        self._created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def run(self) -> None:
        """Measure everything. The failure of an engine does not end the run."""
        latency, throughput = LOADGEN_SCENARIOS[:1], LOADGEN_SCENARIOS[1:]
        for scenarios, serving in ((latency, False), (throughput, True)):
            wanted = [name for name in scenarios if name in self._plan.scenarios]
            calls = serving and "stream" in self._plan.scenarios
            if wanted or calls:
                self._group(wanted, serving=serving, calls=calls)
        if "cold" in self._plan.scenarios:
            self._cold()

    def report(self, *, interrupted: bool = False) -> Report:
        """Return the report of everything measured so far."""
        engines = [engine_report(run, self._tokens, self._plan.bound_ms) for run in self._runs]
        load_after = machine.load_average()
        others = self._others.share()
        found = self._machine | {
            "load_before": self._load_before,
            "load_after": load_after,
            "busy_others": others,
        }
        return Report(
            schema="emo-report/1",
            created=self._created,
            machine=found,
            workload=self._workload(),
            engines=engines,
            warnings=machine.warnings(found),
            interrupted=interrupted,
        )

    def close(self) -> None:
        """Stop all workers."""
        for run in self._runs:
            if run.worker is not None:
                run.worker.close()
                run.worker = None

    def _group(self, scenarios: Sequence[Scenario], *, serving: bool, calls: bool) -> None:
        """Open all engines in one mode and run the scenarios in interleaved rounds."""
        try:
            for run in self._runs:
                self._attempt(run, lambda it: self._open(it, serving=serving))
            if not serving:
                self._check_answers()
            for scenario in scenarios:
                limit_s = self._limit_s(scenario)
                if scenario == "Server":
                    # The search for the rate takes half of the time.
                    limit_s = limit_s if self._budget is None else limit_s / 2
                    for run in self._runs:
                        self._attempt(run, functools.partial(self._find_rate, limit_s=limit_s))
                self._rounds(scenario, limit_s)
            if calls:
                self._attempt(self._runs[0], self._stream)
            for run in self._runs:
                self._attempt(run, self._finish)
        finally:
            self.close()

    def _attempt(self, run: EngineRun, step: Callable[[EngineRun], None]) -> None:
        """Execute one step of one engine; keep its error."""
        if run.failure is None:
            try:
                step(run)
            except WorkerFailedError as error:
                run.failure = str(error)
                self._on_progress(f"{run.name}: {error}")

    def _open(self, run: EngineRun, *, serving: bool) -> None:
        self._on_progress(f"{run.name}: opening")
        options = run.options
        if run.name != "sleeper":
            options = options | {"threads": self._plan.threads, "serving": serving}
        run.worker = WorkerProcess(run.name, options, self._plan.workload, self._plan.threads)
        begun = time.monotonic()
        run.worker.ask(WarmUp(_WARM_UP), Done)
        run.utterance_s = (time.monotonic() - begun) / _WARM_UP
        if run.opened is None:
            run.opened = run.worker.opened

    def _check_answers(self) -> None:
        """Compare all answers with those of the first engine; count tokens; measure costs."""
        reference: list[Outcome] | None = None
        for run in self._runs:
            if run.worker is None or run.failure is not None:
                continue
            count = len(self._samples) if reference is None else min(_CHECKED, len(reference))
            costed = _CHECKED
            if self._plan.budget_s is not None:
                affordable = run.affordable(_CHECKING_SHARE * self._plan.budget_s)
                costed = min(_CHECKED, max(_LEAST_CHECKED, affordable))
                if reference is None and not any(sample.label for sample in self._samples):
                    count = min(count, max(_LEAST_CHECKED, affordable))
            outcomes = run.worker.outcomes(count)
            if reference is None:
                reference = outcomes
                for number, outcome in enumerate(outcomes):
                    self._tokens[number] = outcome.tokens
                exported = run.worker.opened.description.get("label_agreement_with_fp32", {})
                labels = [sample.label for sample in self._samples]
                run.accuracy = {
                    **{f"agreement with fp32 ({name})": value for name, value in exported.items()},
                    **against_labels(outcomes, labels[: len(outcomes)]),
                }
            else:
                same, largest = agreement(outcomes, reference[:count])
                run.accuracy = {"agreement_with_first": same, "largest_difference": largest}
            costs = run.worker.ask(MeasureCosts(costed), CostsResult)
            run.costs = Costs(costs.cpu_s, costs.phases_ms, costs.energy_j)

    def _limit_s(self, scenario: str) -> float:
        """Return the time limit of a scenario for each engine."""
        if self._budget is None:
            return self._plan.max_duration_s
        return self._budget.take(scenario) / len(self._runs)

    def _rounds(self, scenario: Scenario, limit_s: float) -> None:
        plan = self._plan
        queries = max(1, -(-plan.queries // plan.rounds))
        if scenario == "MultiStream":
            queries = max(1, -(-queries // SAMPLES_PER_QUERY))
            if self._budget is not None:
                queries = max(queries, -(-needed_samples(95) // plan.rounds))
        for number in range(plan.rounds):
            for run in self._runs:
                self._on_progress(f"{run.name}: {scenario}, round {number + 1} of {plan.rounds}")
                settings = LoadSettings(
                    scenario, queries, limit_s / plan.rounds, seed=plan.seed + number
                )
                if scenario == "Offline" and self._budget is not None:
                    # One query: LoadGen's time limit does not end it.
                    affordable = run.affordable(limit_s / plan.rounds)
                    settings = msgspec.structs.replace(settings, queries=min(queries, affordable))
                if scenario == "Server" and run.server_rate is not None:
                    settings = msgspec.structs.replace(settings, rate=run.server_rate)
                self._attempt(run, functools.partial(self._round, settings=settings))

    def _round(self, run: EngineRun, settings: LoadSettings) -> None:
        time.sleep(_SETTLE_S)
        result = _worker(run).ask(RunLoad(settings), LoadResult)
        run.rounds.setdefault(settings.scenario, []).append(Round(settings, result))

    def _find_rate(self, run: EngineRun, limit_s: float) -> None:
        """Find the highest Poisson rate at which p99 meets the bound, to 10 % of the capacity."""
        plan, worker = self._plan, _worker(run)
        samples = needed_samples(90)
        if self._budget is None:
            limit_s /= 2
        else:
            limit_s /= 1 + _RATES_TRIED
            samples = min(samples, run.affordable(limit_s))
        capacity = _capacity(worker, samples, limit_s, plan.seed)
        low, high = 0.0, capacity
        for _ in range(_RATES_TRIED):
            rate = (low + high) / 2
            self._on_progress(f"{run.name}: Server, trying {rate:.0f} per second")
            settings = LoadSettings("Server", needed_samples(99), limit_s, rate, plan.seed)
            found = worker.ask(RunLoad(settings), LoadResult)
            if percentile(np.array(found.latencies_ms), 99) <= plan.bound_ms:
                low = rate
            else:
                high = rate
        # If even the lowest rate misses the bound, that rate is reported.
        run.server_rate = low or high

    def _stream(self, run: EngineRun) -> None:
        if run.name != OURS or not self._with_sound:
            return
        plan = self._plan
        self._on_progress(f"{run.name}: {plan.calls} live calls")
        duration_s = self._limit_s("stream")
        if self._budget is not None:
            duration_s -= _LONGEST_S
        duration_s = max(duration_s, _STREAM_S)
        found = _worker(run).ask(RunCalls(plan.calls, duration_s, plan.seed), CallsResult)
        feed = np.array(found.feed_ms)
        run.measurements.append(
            measure(
                "stream",
                [np.array(found.finish_ms)],
                throughput=len(found.finish_ms) / found.duration_s,
                tokens=found.tokens,
                figures={
                    "feed_p50_ms": percentile(feed, 50),
                    "feed_p99_ms": percentile(feed, 99),
                    "real_time_factor": found.cpu_s / found.sound_s,
                    "cpu_ms_per_second_of_sound": 1e3 * found.cpu_s / found.sound_s,
                },
                settings={"calls": plan.calls, "duration_s": duration_s},
            )
        )

    def _finish(self, run: EngineRun) -> None:
        found = _worker(run).ask(GetMemory(), MemoryResult)
        self._others.count_own(found.cpu_s)
        if run.memory is None:
            run.memory = found

    def _cold(self) -> None:
        for run in self._runs:
            if run.name == OURS and run.failure is None:
                self._on_progress(f"{run.name}: fresh processes")
                count = needed_samples(50)
                limit_s = None if self._budget is None else self._limit_s("cold")
                run.measurements.append(
                    run_cold(
                        count, self._plan.bundle, self._plan.threads, self._samples[0], limit_s
                    )
                )

    def _workload(self) -> dict[str, Any]:
        known = [tokens for tokens in self._tokens if tokens]
        tokens = {}
        if known:
            tokens = {f"tokens_p{q}": percentile(np.array(known), q) for q in (10, 50, 90)}
        return {
            **msgspec.to_builtins(self._plan.workload),
            "utterances": len(self._samples),
            "rounds": self._plan.rounds,
            **tokens,
        }


def _worker(run: EngineRun) -> WorkerProcess:
    if run.worker is None:
        raise WorkerFailedError(f"{run.name}: the worker is not open")
    return run.worker


def _capacity(worker: WorkerProcess, samples: int, limit_s: float, seed: int) -> float:
    """Return the Offline throughput of an engine in utterances per second."""
    settings = LoadSettings("Offline", samples, limit_s, seed=seed)
    found = worker.ask(RunLoad(settings), LoadResult)
    return found.answered / found.duration_s
