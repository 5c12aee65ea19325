"""Client of a worker process."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from emo_bench.engines.base import Outcome
from emo_bench.worker.protocol import Failed, GetOutcomes, Open, Opened, Outcomes, Request
from emo_bench.workload import Workload

T = TypeVar("T")


class WorkerFailedError(Exception):
    """The engine of a worker raised, or its process died."""


class WorkerProcess:
    """An engine in a separate process.

    Attributes:
        opened: Description and concurrency of the engine, and the time it took to open.
    """

    def __init__(
        self, engine: str, options: dict[str, Any], workload: Workload, threads: int | None
    ) -> None:
        environment = dict(os.environ)
        if threads is not None:
            # NumPy's BLAS and PyTorch's OpenMP have no other setting.
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
                environment[name] = str(threads)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115  (closed with the process)
        # In a new session: only the parent handles Ctrl-C.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "emo_bench.worker.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        try:
            self.opened = self.ask(Open(engine, options, workload), Opened)
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request, result: type[T]) -> T:
        """Send a request and return its result. Raises WorkerFailedError."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise WorkerFailedError("the worker process has no pipes")
        try:
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailedError(self._exit_message()) from None
        line = process.stdout.readline()
        if not line:
            raise WorkerFailedError(self._exit_message())
        with contextlib.suppress(msgspec.ValidationError):
            raise WorkerFailedError(msgspec.json.decode(line, type=Failed).error)
        return msgspec.json.decode(line, type=result)

    def outcomes(self, count: int) -> list[Outcome]:
        """Return the engine's answers to the first ``count`` utterances."""
        return self.ask(GetOutcomes(count), Outcomes).outcomes

    def close(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                # Buffered requests cannot be flushed to a dead process.
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exit_message(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        last = lines[-1] if lines else "no output"
        return f"the worker process exited with code {self._process.returncode}: {last}"


def run_python(*arguments: str) -> str:
    """Return the standard output of a fresh Python process. Raises WorkerFailedError."""
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
