"""A process of its own for one engine: commands on standard input, answers on standard output.

``python -m emo_bench.worker.main``; a JSON document a line in either direction. The first command
is ``open``; whatever the engine's libraries print goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from emo_bench.engines.base import Engine, Outcome
from emo_bench.worker.resources import (
    cpu_seconds,
    energy_joules,
    peak_memory_bytes,
    resident_memory_bytes,
)
from emo_bench.workload import load_samples


class Worker:
    """One opened engine and the utterances that it is asked about."""

    def __init__(self, request: dict[str, Any]) -> None:
        from emo_bench.engines.registry import open_engine

        self.samples = load_samples(request["workload"])
        start = time.perf_counter()
        self.engine: Engine = open_engine(request["engine"], request["options"])
        self.open_s = time.perf_counter() - start

    def describe(self, _: dict[str, Any]) -> dict[str, Any]:
        """What runs, and how long opening took."""
        return {
            "open_s": self.open_s,
            "description": self.engine.describe(),
            "concurrency": self.engine.concurrency,
        }

    def warm_up(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer some utterances, unmeasured."""
        for sample in self.samples[: request["count"]]:
            self.engine.answer(sample)
        return {}

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """One run of LoadGen."""
        from emo_bench.worker.loadgen import Settings, run_load

        found = run_load(self.engine, self.samples, Settings(**request))
        return {
            "latencies_ms": found.latencies_ms.tolist(),
            "queue_ms": found.queue_ms.tolist(),
            "samples": found.samples.tolist(),
            "duration_s": found.duration_s,
            "answered": found.answered,
            "summary": found.summary,
        }

    def costs(self, request: dict[str, Any]) -> dict[str, Any]:
        """CPU, energy and phases of a plain pass over the first utterances."""
        samples = self.samples[: request["count"]]
        joules, cpu_s = energy_joules(), cpu_seconds()
        outcomes = [self.engine.answer(sample) for sample in samples]
        spent_s, joules_after = cpu_seconds() - cpu_s, energy_joules()
        energy_j = None
        if joules is not None and joules_after is not None and joules_after >= joules:
            energy_j = (joules_after - joules) / len(samples)
        names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.phases))
        phases_ms = {
            name: sum(outcome.phases.get(name, 0.0) for outcome in outcomes) / len(outcomes)
            for name in names
        }
        return {"cpu_s": spent_s / len(samples), "energy_j": energy_j, "phases_ms": phases_ms}

    def answers(self, request: dict[str, Any]) -> dict[str, Any]:
        """Labels, probabilities and token counts of the first utterances."""
        outcomes = [self.engine.answer(sample) for sample in self.samples[: request["count"]]]
        return {"outcomes": [_plain(outcome) for outcome in outcomes]}

    def streams(self, request: dict[str, Any]) -> dict[str, Any]:
        """Live calls in real time."""
        from emo_bench.worker.live import run_live

        return run_live(self.engine, self.samples, **request)

    def memory(self, _: dict[str, Any]) -> dict[str, Any]:
        """Peak and present resident memory, and CPU time so far."""
        return {
            "peak_bytes": peak_memory_bytes(),
            "resident_bytes": resident_memory_bytes(),
            "cpu_s": cpu_seconds(),
        }


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        "label": outcome.label,
        "scores": dict(outcome.scores),
        "tokens": outcome.tokens,
    }


def serve(commands: Sequence[str] | Any, reply: Callable[[dict[str, Any]], None]) -> None:
    """Obey commands until there are no more; an exception is an answer too."""
    worker: Worker | None = None
    for line in commands:
        request = json.loads(line)
        name = request.pop("command")
        try:
            if worker is None:
                worker = Worker(request)
                reply({"ok": worker.describe({})})
            else:
                reply({"ok": getattr(worker, name)(request)})
        except Exception as error:  # noqa: BLE001  (whatever a rival raises becomes a named gap)
            reply({"error": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Serve standard input."""
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(document: dict[str, Any]) -> None:
        answers.write(json.dumps(document) + "\n")
        answers.flush()

    serve(sys.stdin, reply)


if __name__ == "__main__":
    main()
