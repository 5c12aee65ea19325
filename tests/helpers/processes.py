"""Fresh Python processes that see the source tree as it is."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from helpers.corpora import ROOT

ROOTS = ("runtime", "models", "export", "benchmarks", "serving", "tests")


def environment(**changes: str | None) -> dict[str, str]:
    """This process's environment with the source roots in it; None takes a variable out."""
    result = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ROOTS)}
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def run_python(
    *arguments: str | Path,
    stdin: str | bytes | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
    **changes: str | None,
) -> subprocess.CompletedProcess[str]:
    """``python ARGUMENTS``, in UTF-8, with its output."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [sys.executable, *arguments],
        input=data,
        cwd=cwd,
        env=environment(**changes),
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args,
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        done.stderr.decode("utf-8", "replace"),
    )


def wait_until(condition: Callable[[], bool], limit_s: float = 300.0) -> None:
    """Return as soon as ``condition()`` is true; fail after a generous limit."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.05)
