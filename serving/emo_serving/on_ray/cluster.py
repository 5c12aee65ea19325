"""Connect to a Ray cluster: the one that RAY_ADDRESS names, else a new one on this machine.

Ray reads its environment variables in every process that it starts, so they are set before it is
imported.
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

# Ray CPUs of a recognizing process: two share a core, so that they fit on small machines.
CPUS = 0.5
# Ray Data's own tasks need whole CPUs, and would wait forever on a small machine.
_RAYS_OWN_CPUS = 2


@contextlib.contextmanager
def cluster() -> Iterator[int]:
    """Connect, and yield the number of cores. A new cluster ends with the block.

    A new cluster reports no usage, has no dashboard and requires a random token. Its logs and
    spilled objects are in a folder that other users can't read and that is removed at the end.
    Variables that are already set are not changed.
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
        with _connected("local", cores + _RAYS_OWN_CPUS):
            yield cores


@contextlib.contextmanager
def _connected(address: str, new_cpus: int | None = None) -> Iterator[int]:
    """Connect to a cluster, or start one of ``new_cpus``; yield the number of its CPUs."""
    import ray  # noqa: PLC0415  (after the variables)

    with _keeping_our_sigterm():
        ray.init(
            address=address,
            num_cpus=new_cpus,
            include_dashboard=None if new_cpus is None else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _keeping_our_sigterm() -> Iterator[None]:
    """Restore the handler of SIGTERM: Ray installs its own, with another exit code."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
