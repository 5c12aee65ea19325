"""The parent's side of a worker process."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from emo_bench.engines.base import Outcome


class WorkerFailedError(Exception):
    """A worker's engine raised, or its process died."""


class WorkerProcess:
    """An engine in a process of its own, with the threads it is granted in its environment."""

    def __init__(
        self, engine: str, options: dict[str, Any], workload: dict[str, Any], threads: int | None
    ) -> None:
        environment = dict(os.environ)
        if threads is not None:
            # Libraries that know no other way: the BLAS of numpy, OpenMP of torch.
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                environment[name] = str(threads)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed with the process)
        # A session of its own: Ctrl-C is the parent's to handle.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "emo_bench.worker.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        try:
            opened = self.ask("open", engine=engine, options=options, workload=workload)
        except BaseException:
            self.close()
            raise
        self.description: dict[str, Any] = opened["description"]
        self.open_s: float = opened["open_s"]
        self.concurrency: int = opened["concurrency"]

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises WorkerFailedError."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise WorkerFailedError("the worker has no pipes")
        try:
            process.stdin.write(json.dumps({"command": command, **request}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailedError(self._last_words()) from None
        line = process.stdout.readline()
        if not line:
            raise WorkerFailedError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerFailedError(answer["error"])
        result: dict[str, Any] = answer["ok"]
        return result

    def outcomes(self, count: int) -> list[Outcome]:
        """The engine's answers to the first ``count`` utterances."""
        return [Outcome(**item) for item in self.ask("answers", count=count)["outcomes"]]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                # What was still to be written to a process that is gone can't be.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with {self._process.returncode}: {lines[-1] if lines else ''}"


def run_python(*arguments: str) -> str:
    """Standard output of a fresh Python process. Raises WorkerFailedError."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=Path.cwd(),
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise WorkerFailedError(lines[-1] if lines else f"exit code {done.returncode}")
    return done.stdout
