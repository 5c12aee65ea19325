"""Description of the machine, compared with the C library and coreutils."""

import os
import socket
import subprocess
import sys

import pytest

from emo_runtime.machine import describe_machine, memory_limit


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_and_cores_are_those_of_the_c_library_and_of_coreutils():
    found = describe_machine()
    assert found["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < found["memory_available_bytes"] <= found["memory_bytes"]
    assert found["cores_machine"] == os.sysconf("SC_NPROCESSORS_ONLN")
    without = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    nproc = subprocess.run(["nproc"], capture_output=True, text=True, env=without, check=True)
    assert found["cores_usable"] <= int(nproc.stdout)


def test_the_name_of_the_host_is_not_in_it():
    name = socket.gethostname()
    assert len(name) < 4 or name not in str(describe_machine())


def test_the_smallest_memory_limit_of_the_cgroups_counts(tmp_path):
    group = tmp_path / "cgroup"
    group.write_text("0::/app/worker\n")
    root = tmp_path / "fs"
    (root / "app/worker").mkdir(parents=True)
    assert memory_limit(group, root) is None
    (root / "app/worker/memory.max").write_text("max\n")
    (root / "app/memory.max").write_text("1048576\n")
    (root / "memory.max").write_text("4194304\n")
    assert memory_limit(group, root) == 1048576
    assert memory_limit(tmp_path / "none", root) is None
