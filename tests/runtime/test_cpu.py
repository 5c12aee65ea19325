"""Usable cores: affinity and cgroup quotas, on temporary directory trees."""

import os

import pytest

from emo_runtime import ProviderError
from emo_runtime import cpu as cpu_module
from emo_runtime.cpu import Threads, cgroup_quota, resolve_threads, usable_cores


@pytest.fixture
def tree(tmp_path):
    """``tree("0::/a/b", {"sys/a/cpu.max": ...})``: proc file and cgroup root."""

    def make(membership, files):
        proc = tmp_path / "cgroup"
        proc.write_text(membership + "\n")
        root = tmp_path / "sys"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return proc, root

    return make


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/", {}, None),
        ("0::/", {"cpu.max": "max 100000\n"}, None),
        ("0::/", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b", {"a/b/cpu.max": "50000 100000\n"}, 0.5),
        ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("0::/a/b", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2.0),
        # In a container the path is the host's, the mount shows the container's own group.
        ("0::/docker/0123", {"cpu.max": "300000 100000"}, 3.0),
        ("0::/../outside", {"cpu.max": "300000 100000"}, 3.0),
        ("0::/", {"cpu.max": "nonsense"}, None),
        ("0::/", {"cpu.max": "1 0"}, None),
        ("4:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "250000"}, None),
        (
            "4:cpu,cpuacct:/a\n3:memory:/a",
            {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        (
            "4:cpu:/a",
            {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
            None,
        ),
        (
            "4:cpu:/docker/0123",
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
            1.0,
        ),
        ("3:memory:/a", {"cpu/a/cpu.cfs_quota_us": "1", "cpu/a/cpu.cfs_period_us": "1"}, None),
        ("not a line of this file", {}, None),
    ],
)
def test_quotas(tree, membership, files, expected):
    assert cgroup_quota(*tree(membership, files)) == expected


def test_no_cgroups_at_all(tmp_path):
    assert cgroup_quota(tmp_path / "missing", tmp_path) is None


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [
        ({0, 1, 2, 3}, None, Threads(4, "affinity")),
        ({0, 1, 2, 3}, 2.0, Threads(2, "cgroup quota")),
        ({0, 1, 2, 3}, 1.5, Threads(2, "cgroup quota")),
        ({0, 1, 2, 3}, 0.25, Threads(1, "cgroup quota")),
        ({5}, 16.0, Threads(1, "affinity")),
        ({0, 1}, 1.5, Threads(2, "affinity")),
    ],
)
def test_the_smaller_one_counts(monkeypatch, affinity, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: affinity)
    monkeypatch.setattr(cpu_module, "cgroup_quota", lambda: quota)
    assert usable_cores() == resolve_threads(None) == expected


@pytest.mark.parametrize(("count", "expected"), [(7, 7), (None, 1)])
def test_where_there_is_no_affinity(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    monkeypatch.setattr(cpu_module, "cgroup_quota", lambda: None)
    assert usable_cores() == Threads(expected, "machine")


def test_on_this_machine():
    assert 1 <= usable_cores().count <= len(os.sched_getaffinity(0))


def test_a_requested_number_is_taken():
    assert resolve_threads(3) == Threads(3, "requested")


@pytest.mark.parametrize("requested", [0, -1, 1025, True])
def test_nonsensical_numbers(requested):
    with pytest.raises(ProviderError, match="give a whole number from 1 to 1024"):
        resolve_threads(requested)
