"""Description of the machine: processor, versions, and load by other processes."""

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from emo_runtime.machine import describe_machine, read_text

_PACKAGES = (
    *("emo-runtime", "onnxruntime", "numpy", "tokenizers", "soundfile", "soxr", "msgspec"),
    *("torch", "transformers", "librosa", "optimum", "openvino", "nncf", "ctranslate2"),
    "mlcommons-loadgen",
)
# Other processes' share of the machine above which its figures are flagged.
NOISY_SHARE = 0.10


def fingerprint() -> dict[str, Any]:
    """Return processor, cores, memory, system, versions, and the commit of the source tree."""
    return {
        **describe_machine(),
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "python": platform.python_version(),
        "versions": _versions(),
        "git_commit": _git_commit(),
    }


def load_average() -> float | None:
    """Return the load average of the last minute; None where the system has none."""
    with contextlib.suppress(OSError):
        return os.getloadavg()[0]
    return None


class BusyOthers:
    """Share of the machine's CPU time that other processes used (Linux only)."""

    def __init__(self) -> None:
        self._machine_s, self._own_s = _busy_seconds(), 0.0
        self._start_s = _uptime_seconds()

    def count_own(self, seconds: float) -> None:
        """Add CPU seconds of a process of the benchmark."""
        self._own_s += seconds

    def share(self) -> float | None:
        """Return the share of all cores' time, 0 to 1; None where it is unknown."""
        machine_s, uptime_s = _busy_seconds(), _uptime_seconds()
        if machine_s is None or self._machine_s is None or uptime_s is None:
            return None
        elapsed_s = (uptime_s - (self._start_s or 0.0)) * (os.cpu_count() or 1)
        others_s = machine_s - self._machine_s - self._own_s
        return max(0.0, others_s / elapsed_s) if elapsed_s > 0 else None


def package_bytes() -> int:
    """Return the installed size of emo-runtime and its dependencies; 0 where unknown."""
    seen: set[str] = set()
    waiting = ["emo-runtime"]
    total = 0
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            distribution = importlib.metadata.distribution(name)
            total += _installed_bytes(distribution)
            for requirement in distribution.requires or ():
                if "extra ==" not in requirement:
                    waiting.append(_requirement_name(requirement))
    return total


def _installed_bytes(distribution: importlib.metadata.Distribution) -> int:
    total = 0
    for file in distribution.files or ():
        with contextlib.suppress(OSError):
            total += Path(str(distribution.locate_file(file))).stat().st_size
    return total


def _requirement_name(requirement: str) -> str:
    end = next((i for i, letter in enumerate(requirement) if letter in " <>=!~;[("), None)
    return requirement[:end].lower()


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _git_commit() -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return done.stdout.strip()
    return None


def _busy_seconds() -> float | None:
    first, _, _ = (read_text("/proc/stat") or "").partition("\n")
    fields = first.split()
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _uptime_seconds() -> float | None:
    content = read_text("/proc/uptime")
    return float(content.split()[0]) if content else None


def warnings(found: dict[str, Any]) -> list[str]:
    """Return warnings on the conditions of a measurement."""
    remarks = []
    others, load = found["busy_others"], found["load_before"]
    if others is not None and others > NOISY_SHARE:
        remarks.append(
            f"noisy host: other processes used {others:.0%} of the machine during the run; compare "
            "figures within this report only"
        )
    cores = found["cores_machine"] or 1
    if load is not None and load > 0.5 * cores:
        remarks.append(f"the load average was {load:.2f} on {cores} cores at the start")
    governor = found["governor"]
    if governor not in {None, "performance"}:
        remarks.append(f"the CPU frequency governor is {governor!r}: the clock may change")
    return remarks
