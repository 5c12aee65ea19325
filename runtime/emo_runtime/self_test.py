"""The self-test on the target machine, and the record of self-tests that passed."""

import contextlib
import hashlib
import os
import platform
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np

from emo_runtime.audio.decode import AudioSource
from emo_runtime.bundle.golden import Golden, compare
from emo_runtime.bundle.manifest import Precision, TaskName
from emo_runtime.ort.session import load_onnxruntime
from emo_runtime.result import Answer

Recognize = Callable[[str | None, AudioSource | None, TaskName], Answer]


def run_self_test(
    golden: Golden,
    tasks: Collection[TaskName],
    recognize: Recognize,
    precisions: Callable[[TaskName], frozenset[Precision]],
) -> float:
    """Answer the golden inputs and compare the probabilities with the reference's.

    Args:
        golden: Inputs and the reference's probabilities.
        tasks: Tasks to test.
        recognize: Answers a transcript and/or sound for a task.
        precisions: Returns the precisions of the graphs that answer a task.

    Returns:
        The largest difference of a probability.

    Raises:
        SelfTestError: The answers differ from the reference's by more than the tolerance.
    """
    differences = [0.0]
    for case in golden.cases:
        if case.task in tasks:
            audio = None
            if case.audio is not None:
                audio = (case.audio.samples(), case.audio.sample_rate)
            scores = list(recognize(case.text, audio, case.task).scores.values())
            differences.append(compare(case, scores, precisions(case.task)))
    return max(differences)


def was_passed(fingerprint: str) -> bool:
    """True if a self-test with this fingerprint is recorded as passed."""
    # Without a home directory there is no cache: RuntimeError.
    with contextlib.suppress(OSError, RuntimeError):
        return (_cache() / fingerprint).is_file()
    return False


def remember_passed(fingerprint: str) -> None:
    """Record a passed self-test in the user's cache; does nothing if it can't be written."""
    with contextlib.suppress(OSError, RuntimeError):
        _cache().mkdir(parents=True, exist_ok=True)
        (_cache() / fingerprint).touch()


def fingerprint(bundle_sha256: str, graphs: dict[str, dict[str, object]]) -> str:
    """Hash everything that the numbers depend on: bundle, graph placement, processor, libraries."""
    parts = [
        bundle_sha256,
        repr(sorted(graphs.items())),
        load_onnxruntime().__version__,
        np.__version__,
        platform.machine(),
        _processor(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _cache() -> Path:
    """Folder of the recorded self-tests. Raises RuntimeError if there is no home directory."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~\\AppData\\Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base, "emo-runtime", "self-test").expanduser()


def _processor() -> str:
    """Model and features of the processor: kernels are selected by them."""
    with contextlib.suppress(OSError):
        first, _, _ = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")
        names = ("model name", "flags", "Features", "CPU part")
        return "\n".join(line for line in first.splitlines() if line.startswith(names))
    return platform.processor()
