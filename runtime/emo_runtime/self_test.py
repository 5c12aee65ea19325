"""The self-test on the target machine, and the memory of having passed it."""

import contextlib
import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from emo_runtime.bundle.golden import Golden, compare
from emo_runtime.ort.session import load_onnxruntime

if TYPE_CHECKING:
    from emo_runtime.recognizer import EmotionRecognizer


def run_self_test(recognizer: "EmotionRecognizer", golden: Golden) -> float:
    """Answer the golden inputs; the largest difference of a probability from the reference's.

    Raises SelfTestError where this machine computes something else.
    """
    differences = [0.0]
    for case in golden.cases:
        if case.task in recognizer.tasks:
            audio = None
            if case.audio is not None:
                audio = (case.audio.samples(), case.audio.sample_rate)
            answer = recognizer.recognize(case.text, audio, task=case.task)
            scores = list(answer.scores.values())
            differences.append(compare(case, scores, recognizer.precisions(case.task)))
    return max(differences)


def was_passed(fingerprint: str) -> bool:
    """Whether a self-test of this fingerprint is remembered as passed."""
    # Without a home directory there is no cache: RuntimeError.
    with contextlib.suppress(OSError, RuntimeError):
        return (_memory() / fingerprint).is_file()
    return False


def remember_passed(fingerprint: str) -> None:
    """Remember it in the user's cache; where that can't be written, the next load tests again."""
    with contextlib.suppress(OSError, RuntimeError):
        _memory().mkdir(parents=True, exist_ok=True)
        (_memory() / fingerprint).touch()


def fingerprint(bundle_sha256: str, graphs: dict[str, dict[str, object]]) -> str:
    """What the numbers depend on: the bundle, the graphs' placement, processor and libraries."""
    import numpy  # noqa: PLC0415

    parts = [
        bundle_sha256,
        repr(sorted(graphs.items())),
        load_onnxruntime().__version__,
        numpy.__version__,
        platform.machine(),
        _processor(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _memory() -> Path:
    """The folder of remembered self-tests. Raises RuntimeError where there is no home."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~\\AppData\\Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base, "emo-runtime", "self-test").expanduser()


def _processor() -> str:
    """The processor's model and features: kernels are chosen by them."""
    with contextlib.suppress(OSError):
        first, _, _ = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")
        names = ("model name", "flags", "Features", "CPU part")
        return "\n".join(line for line in first.splitlines() if line.startswith(names))
    return platform.processor()
