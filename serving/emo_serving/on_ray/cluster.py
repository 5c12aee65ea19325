"""A Ray cluster to work on: the one that RAY_ADDRESS names, else one on this machine.

Ray reads these variables in every process that it starts: they are set before it is imported.
"""

import contextlib
import logging
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator

from emo_runtime.cpu import resolve_threads

# What a process that recognizes asks for: two to a core, so that small machines have room.
CPUS = 0.5
# What Ray Data itself places asks for whole CPUs, and would wait for ever on a small machine.
_RAYS_OWN_CPUS = 2


@contextlib.contextmanager
def cluster() -> Iterator[int]:
    """Be connected to it, and know its cores. One of our own ends with the block.

    It reports no usage to anybody, has no dashboard, asks for a token that nobody else knows, and
    keeps its logs and what it spills to disk from other users, in a folder that goes with it. A
    variable that is set stays so.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ.get("RAY_ADDRESS"):
        with _connected("auto") as cpus:
            yield cpus
        return
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    cores = resolve_threads(None).count
    with contextlib.ExitStack() as stack:
        if "RAY_TMPDIR" not in os.environ:
            folder = tempfile.TemporaryDirectory(prefix="emo-ray-", ignore_cleanup_errors=True)
            os.environ["RAY_TMPDIR"] = stack.enter_context(folder)
            stack.callback(os.environ.pop, "RAY_TMPDIR")
        with _connected("local", include_dashboard=False, num_cpus=cores + _RAYS_OWN_CPUS):
            yield cores


@contextlib.contextmanager
def _connected(address: str, **options: int) -> Iterator[int]:
    import ray  # noqa: PLC0415  (after the variables)

    with _keeping_our_sigterm():
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _keeping_our_sigterm() -> Iterator[None]:
    """Ray puts a handler of its own, with another exit code."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
