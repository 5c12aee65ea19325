"""A Ray cluster to work on: the one that RAY_ADDRESS names, else one on this machine.

Ray reads these variables in every process that it starts: they are set before it is imported.
"""

import contextlib
import logging
import os
import secrets
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    """Be connected to it. One of our own ends with the block, and leaves nothing behind.

    It reports no usage to anybody, has no dashboard, asks for a token that nobody else knows, and
    keeps its logs and what it spills to disk from other users. A variable that is set stays so.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if os.environ.get("RAY_ADDRESS"):
        with _connected("auto"):
            yield
        return
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with contextlib.ExitStack() as stack:
        if "RAY_TMPDIR" not in os.environ:
            folder = tempfile.TemporaryDirectory(prefix="emo-ray-", ignore_cleanup_errors=True)
            os.environ["RAY_TMPDIR"] = stack.enter_context(folder)
            stack.callback(os.environ.pop, "RAY_TMPDIR")
        with _connected("local", include_dashboard=False):
            yield


@contextlib.contextmanager
def _connected(address: str, **options: bool) -> Iterator[None]:
    import ray  # noqa: PLC0415  (after the variables)

    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    try:
        yield
    finally:
        ray.shutdown()
