"""What is measured, in which order: interleaved rounds, each engine in its own process."""

import datetime
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emo_bench import machine
from emo_bench.cold import run_cold
from emo_bench.engine import Outcome, against_labels, agreement
from emo_bench.engines import OURS
from emo_bench.load import SAMPLES_PER_QUERY
from emo_bench.report import Costs, Report, measure
from emo_bench.running import Running, engine_report
from emo_bench.statistics import needed_samples, percentile
from emo_bench.worker import load_samples
from emo_bench.workers import WorkerFailedError, WorkerProcess

LOADGEN_SCENARIOS = ("SingleStream", "MultiStream", "Server", "Offline")
SCENARIOS = (*LOADGEN_SCENARIOS, "stream", "cold")
_WARM_UP = 20
_CHECKED = 64
_STREAM_S = 15.0
# Idle threads of an engine wait actively for a while: they are to be asleep before the next begins.
_SETTLE_S = 0.3


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line. ``queries`` are those of all rounds together."""

    engines: Sequence[tuple[str, dict[str, Any]]]
    workload: dict[str, Any]
    scenarios: Sequence[str]
    queries: int
    rounds: int
    max_duration_s: float
    threads: int | None
    bound_ms: float
    calls: int
    seed: int
    bundle: str | None


class Bench:
    """Runs a plan; ``report()`` gives what has been measured so far, at any time."""

    def __init__(self, plan: Plan, tell: Callable[[str], None]) -> None:
        self._plan = plan
        self._tell = tell
        self._running = [Running(name, options) for name, options in plan.engines]
        self._samples = load_samples(plan.workload)
        self._tokens: list[int] = [0] * len(self._samples)
        self._machine = machine.fingerprint()
        self._load_before = machine.load_average()
        self._others = machine.BusyOthers()
        self._created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def run(self) -> None:
        """Measure everything; a rival that fails becomes a gap."""
        for scenarios, serving in ((("SingleStream",), False), (LOADGEN_SCENARIOS[1:], True)):
            wanted = [name for name in scenarios if name in self._plan.scenarios]
            if serving and "stream" in self._plan.scenarios:
                wanted.append("stream")
            if wanted:
                self._group(wanted, serving=serving)
        if "cold" in self._plan.scenarios:
            self._cold()

    def report(self, *, interrupted: bool = False) -> Report:
        """The report of what has been measured so far."""
        engines = [
            engine_report(running, self._tokens, self._plan.bound_ms) for running in self._running
        ]
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
        """End all workers."""
        for running in self._running:
            if running.worker is not None:
                running.worker.close()
                running.worker = None

    def _group(self, scenarios: Sequence[str], *, serving: bool) -> None:
        """All engines, opened in one mode, through some scenarios in interleaved rounds."""
        try:
            for running in self._running:
                self._attempt(running, lambda it: self._open(it, serving=serving))
            if not serving:
                self._check_answers()
            for scenario in scenarios:
                if scenario == "Server":
                    for running in self._running:
                        self._attempt(running, self._find_rate)
                elif scenario == "stream":
                    self._attempt(self._running[0], self._stream)
                self._rounds(scenario)
            for running in self._running:
                self._attempt(running, self._finish)
        finally:
            self.close()

    def _attempt(self, running: Running, step: Callable[[Running], None]) -> None:
        """One step of one engine; its failure is its gap, and the others go on."""
        if running.gap is None:
            try:
                step(running)
            except WorkerFailedError as error:
                running.gap = str(error)
                self._tell(f"{running.name}: {error}")

    def _open(self, running: Running, *, serving: bool) -> None:
        self._tell(f"{running.name}: opening")
        options = running.options
        if running.name != "sleeper":
            options = options | {"threads": self._plan.threads, "serving": serving}
        running.worker = WorkerProcess(
            running.name, options, self._plan.workload, self._plan.threads
        )
        running.worker.ask("warm_up", count=_WARM_UP)
        if not running.opened:
            running.opened = {
                "open_s": running.worker.open_s,
                "description": running.worker.description,
            }

    def _check_answers(self) -> None:
        """Everyone's answers against the first engine's, and token counts for the plots."""
        reference: list[Outcome] | None = None
        for running in self._running:
            if running.worker is None or running.gap is not None:
                continue
            count = len(self._samples) if reference is None else _CHECKED
            outcomes = running.worker.outcomes(count)
            if reference is None:
                reference = outcomes
                self._tokens = [outcome.tokens for outcome in outcomes]
                exported = running.worker.description.get("label_agreement_with_fp32", {})
                labels = [sample.label for sample in self._samples]
                running.accuracy = {
                    **{f"agreement with fp32 ({name})": value for name, value in exported.items()},
                    **against_labels(outcomes, labels),
                }
            else:
                same, largest = agreement(outcomes, reference[:_CHECKED])
                running.accuracy = {"agreement_with_first": same, "largest_difference": largest}
            found = running.worker.ask("costs", count=_CHECKED)
            running.costs = Costs(**found)

    def _rounds(self, scenario: str) -> None:
        if scenario not in LOADGEN_SCENARIOS:
            return
        plan = self._plan
        queries = max(1, -(-plan.queries // plan.rounds))
        if scenario == "MultiStream":
            queries = max(1, -(-queries // SAMPLES_PER_QUERY))
        for number in range(plan.rounds):
            for running in self._running:
                self._tell(f"{running.name}: {scenario}, round {number + 1} of {plan.rounds}")
                settings = {
                    "scenario": scenario,
                    "queries": queries,
                    "max_duration_s": plan.max_duration_s / plan.rounds,
                    "seed": plan.seed + number,
                } | running.settings.get(scenario, {})
                self._attempt(running, functools.partial(self._round, settings=settings))

    def _round(self, running: Running, settings: dict[str, Any]) -> None:
        time.sleep(_SETTLE_S)
        found = _worker(running).ask("load", **settings)
        running.rounds.setdefault(settings["scenario"], []).append(found | {"settings": settings})

    def _find_rate(self, running: Running) -> None:
        """The highest Poisson rate, within a tenth, at which p99 stays within the bound."""
        plan, worker = self._plan, _worker(running)
        capacity = _capacity(worker, plan)
        low, high = 0.0, capacity
        while high - low > 0.1 * capacity:
            rate = (low + high) / 2
            self._tell(f"{running.name}: Server, trying {rate:.0f} a second")
            found = worker.ask(
                "load",
                scenario="Server",
                queries=needed_samples(99),
                max_duration_s=plan.max_duration_s / 2,
                rate=rate,
                seed=plan.seed,
            )
            if percentile(np.array(found["latencies_ms"]), 99) <= plan.bound_ms:
                low = rate
            else:
                high = rate
        # Where not even the lowest rate that was tried holds, that one is shown missing the bound.
        running.settings["Server"] = {"rate": low or high}

    def _stream(self, running: Running) -> None:
        if running.name != OURS or not any(sample.audio for sample in self._samples):
            return
        plan = self._plan
        self._tell(f"{running.name}: {plan.calls} live calls")
        # Utterances last about 9 s: shorter runs would hear the end of hardly any.
        duration_s = max(plan.max_duration_s, _STREAM_S)
        found = _worker(running).ask(
            "streams", calls=plan.calls, duration_s=duration_s, seed=plan.seed
        )
        feed = np.array(found["feed_ms"])
        running.measurements.append(
            measure(
                "stream",
                [np.array(found["finish_ms"])],
                throughput=len(found["finish_ms"]) / found["duration_s"],
                tokens=found["tokens"],
                figures={
                    "feed_p50_ms": percentile(feed, 50),
                    "feed_p99_ms": percentile(feed, 99),
                    "real_time_factor": found["cpu_s"] / found["sound_s"],
                    "cpu_ms_per_second_of_sound": 1e3 * found["cpu_s"] / found["sound_s"],
                },
                settings={"calls": plan.calls, "duration_s": duration_s},
            )
        )

    def _finish(self, running: Running) -> None:
        found = _worker(running).ask("memory")
        self._others.count_own(found["cpu_s"])
        if not running.memory:
            running.memory = found

    def _cold(self) -> None:
        for running in self._running:
            if running.name == OURS and running.gap is None:
                self._tell(f"{running.name}: fresh processes")
                count = needed_samples(50)
                running.measurements.append(
                    run_cold(count, self._plan.bundle, self._plan.threads, self._samples[0])
                )

    def _workload(self) -> dict[str, Any]:
        known = [tokens for tokens in self._tokens if tokens]
        tokens = {}
        if known:
            tokens = {f"tokens_p{q}": percentile(np.array(known), q) for q in (10, 50, 90)}
        return {
            **self._plan.workload,
            "utterances": len(self._samples),
            "rounds": self._plan.rounds,
            **tokens,
        }


def _worker(running: Running) -> WorkerProcess:
    if running.worker is None:
        raise WorkerFailedError("it is not open")
    return running.worker


def _capacity(worker: WorkerProcess, plan: Plan) -> float:
    """Utterances a second that the engine answers at best, all at once."""
    found = worker.ask(
        "load",
        scenario="Offline",
        queries=needed_samples(90),
        max_duration_s=plan.max_duration_s,
        seed=plan.seed,
    )
    return float(found["answered"] / found["duration_s"])
