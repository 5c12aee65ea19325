"""Number of cores that this process may use: affinity and cgroup quota."""

import math
import numbers
import os
from dataclasses import dataclass
from pathlib import Path

from emo_runtime.arguments import shown
from emo_runtime.errors import ProviderError

MAX_THREADS = 1024


@dataclass(frozen=True)
class Threads:
    """A number of threads and its origin."""

    count: int
    origin: str


def resolve_threads(requested: int | None) -> Threads:
    """Return the requested number, else the usable cores. Raises ProviderError."""
    if requested is None:
        return usable_cores()
    whole = isinstance(requested, numbers.Integral) and not isinstance(requested, bool)
    if not whole or not 1 <= requested <= MAX_THREADS:
        raise ProviderError(
            f"threads={shown(requested)}: give a whole number from 1 to {MAX_THREADS}."
        )
    return Threads(int(requested), "requested")


def usable_cores() -> Threads:
    """Return the smaller of the affinity mask and the cgroup's CPU quota (rounded up)."""
    if hasattr(os, "sched_getaffinity"):
        cores = Threads(len(os.sched_getaffinity(0)), "affinity")
    else:
        cores = Threads(os.cpu_count() or 1, "machine")
    quota = cgroup_quota()
    if quota is not None and math.ceil(quota) < cores.count:
        return Threads(max(1, math.ceil(quota)), "cgroup quota")
    return cores


def cgroup_quota(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """Return the CPU quota in cores of the cgroup (v1 or v2) and its parents; None: no limit."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, _, membership = line.partition(":")
        controllers, _, path = membership.partition(":")
        if path and not controllers:
            quotas += [_quota_v2(folder) for folder in cgroup_folders(root, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_quota_v1(folder) for folder in cgroup_folders(root / "cpu", path)]
    limits = [quota for quota in quotas if quota is not None]
    return min(limits) if limits else None


def cgroup_folders(root: Path, path: str) -> list[Path]:
    """Return the folders of a cgroup and of its parents, up to ``root``."""
    # In a container the path may not exist below the mount; the root is then the container's.
    folder = root / path.lstrip("/")
    return [parent for parent in (folder, *folder.parents) if parent.is_relative_to(root)]


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
