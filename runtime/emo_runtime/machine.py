"""Description of the machine: processor, cores, memory, huge pages, operating system."""

import os
import platform
from pathlib import Path
from typing import Any

from emo_runtime.cpu import cgroup_folders, cgroup_quota, usable_cores
from emo_runtime.ort import huge_pages

# Instruction sets that decide which kernels run.
INSTRUCTION_SETS = (
    *("avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni"),
    *("avx512_bf16", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "sve", "bf16"),
)


def describe_machine() -> dict[str, Any]:
    """Return facts about the machine as plain values; None if the system does not report them.

    The name of the host and of the user are not among them.
    """
    cores = usable_cores()
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_flags": [flag for flag in INSTRUCTION_SETS if flag in flags],
        "cores_usable": cores.count,
        "cores_from": cores.origin,
        "cores_machine": os.cpu_count(),
        "cgroup_quota": cgroup_quota(),
        "memory_bytes": _memory("MemTotal"),
        "memory_available_bytes": _memory("MemAvailable"),
        "memory_limit_bytes": memory_limit(),
        "huge_pages": huge_pages.available(),
        "system": platform.platform(),
    }


def memory_limit(
    proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the smallest memory limit in bytes of the cgroup (v2) and its parents, if any."""
    limits = []
    for line in (read_text(proc) or "").splitlines():
        _, _, membership = line.partition(":")
        controllers, _, path = membership.partition(":")
        if path and not controllers:
            folders = cgroup_folders(root, path)
            limits += [read_text(folder / "memory.max") or "" for folder in folders]
    numbers = [int(limit) for limit in limits if limit.isdecimal()]
    return min(numbers) if numbers else None


def read_text(path: str | Path) -> str | None:
    """Return the content of a file of the system; None if it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _cpuinfo() -> dict[str, str]:
    first, _, _ = (read_text("/proc/cpuinfo") or "").partition("\n\n")
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _memory(field: str) -> int | None:
    for line in (read_text("/proc/meminfo") or "").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
