"""Memory, CPU time and energy of this process."""

import contextlib
import resource
import sys
import time
from pathlib import Path

_RAPL = Path("/sys/class/powercap")


def peak_memory_bytes() -> int:
    """Return the peak resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_memory_bytes() -> int | None:
    """Return the current resident memory; None where /proc is missing."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return None


def cpu_seconds() -> float:
    """Return the CPU time of all threads, user and system."""
    return time.process_time()


def energy_joules() -> float | None:
    """Return the energy counter of the processor packages (RAPL); None where it is missing."""
    total = 0
    zones = [zone for zone in _RAPL.glob("*-rapl:*") if zone.name.count(":") == 1]
    for zone in zones:
        try:
            total += int((zone / "energy_uj").read_text())
        except (OSError, ValueError):
            return None
    return total / 1e6 if zones else None
