"""Which tests share a worker process of pytest-xdist, and which are started first.

pytest-xdist's own groups (``--dist loadgroup``) have no effect with pytest 9: xdist 3.8 writes the
group into an attribute that pytest no longer reads.
"""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

# One cluster runs at a time: its tests share a worker.
RAY = ("tests/serving/on_ray/", "tests/serving/batch/")
# Each test of these files is slow and shares nothing with the others.
SPREAD = (
    "tests/repository/test_permissions.py",
    "tests/repository/test_signals.py",
    "tests/runtime/audio/test_decode_parity.py::test_real_clips_one_combination_each",
)
# Slow files are started first, so that no worker ends long after the others.
SLOW = (*RAY, "tests/repository/", "tests/export/", "tests/benchmarks/", "tests/models/")


def group_of(node_id: str) -> str:
    """Return the name of the tests that run in the same worker as this one, one after another."""
    if node_id.startswith(RAY):
        return "ray"
    return node_id if node_id.startswith(SPREAD) else node_id.split("::")[0]


def start_order(node_id: str) -> int:
    """Return the place of a test in the order of starts; equal numbers keep their order."""
    return next(
        (number for number, prefix in enumerate(SLOW) if node_id.startswith(prefix)), len(SLOW)
    )


class GroupScheduling(LoadScopeScheduling):
    """Start the groups in the order of their first tests."""

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
