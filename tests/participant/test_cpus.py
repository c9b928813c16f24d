from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from midas_mp import limits
from midas_mp.participant import cpus

MB = limits.MB

MOUNT_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
MOUNT_V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)


def tree(root: Path, mounts: str, own: str, files: dict[str, str]) -> Path:
    files = {"proc/self/mountinfo": mounts, "proc/self/cgroup": own} | files
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_version_2_takes_the_tightest_level_up_to_the_mount(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        MOUNT_V2,
        "0::/user.slice/job\n",
        {
            "sys/fs/cgroup/user.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/job/memory.max": f"{512 * MB}\n",
        },
    )
    assert cpus.cgroup_cpu_quota(root) == 1.5
    assert cpus.cgroup_memory_bytes(root) == 512 * MB


def test_version_1_reads_the_hierarchy_of_each_controller(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        MOUNT_V1,
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
        {
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{64 * MB}\n",
        },
    )
    assert cpus.cgroup_cpu_quota(root) == 4.0
    assert cpus.cgroup_memory_bytes(root) == 64 * MB


def test_a_container_sees_its_own_group_at_the_mount_point(tmp_path: Path) -> None:
    # the path is the host's and does not exist below the mount
    root = tree(
        tmp_path,
        MOUNT_V2,
        "0::/../../kubepods/pod7\n",
        {"sys/fs/cgroup/cpu.max": "50000 100000\n", "sys/fs/cgroup/memory.max": "1048576\n"},
    )
    assert cpus.cgroup_cpu_quota(root) == 0.5
    assert cpus.cgroup_memory_bytes(root) == MB


def test_a_mount_of_a_subtree_is_not_counted_twice(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        MOUNT_V2.replace(" / /sys", " /docker/abc /sys"),
        "0::/docker/abc/inner\n",
        {"sys/fs/cgroup/inner/cpu.max": "200000 100000\n"},
    )
    assert cpus.cgroup_cpu_quota(root) == 2.0


@pytest.mark.parametrize("own", ["", "0::/\n"])
def test_no_cgroup_is_no_bound(tmp_path: Path, own: str) -> None:
    root = tree(tmp_path, "", own, {})
    assert cpus.cgroup_cpu_quota(root) is None
    assert cpus.cgroup_memory_bytes(root) is None
    assert cpus.cgroup_cpu_quota(tmp_path / "nowhere") is None


def test_count_follows_the_affinity() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cpus.usable_cpu_count() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= cpus.usable_cpu_count() <= len(before)


def test_memory_is_shared_out_among_workers_and_the_script_process() -> None:
    total = psutil.virtual_memory().total
    assert MB < cpus.usable_memory_bytes() <= total
    assert 0 < 5 * cpus.default_memory_bytes(4) <= limits.MEMORY_SHARE * total
