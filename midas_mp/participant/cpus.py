"""How much of this machine the processes of this node may use.

psutil knows the affinity and the memory, but not what a container's cgroup leaves of them: that
is read here.  Called by the launcher when it starts.
"""

from __future__ import annotations

import math
from pathlib import Path

import psutil

from midas_mp import limits

_ROOT = Path("/")


def usable_cpu_count() -> int:
    """CPUs that this process may run on, bounded by its cgroup's quota; at least 1."""
    try:
        count = len(psutil.Process().cpu_affinity() or ())
    except (AttributeError, psutil.Error):  # AttributeError: psutil on macOS has no affinity
        count = psutil.cpu_count() or 1
    quota = cgroup_cpu_quota()
    return max(1, min(count, math.ceil(quota)) if quota else count)


def usable_memory_bytes() -> int:
    """RAM that can be had without swapping, bounded by the cgroup's limit."""
    available = int(psutil.virtual_memory().available)
    limit = cgroup_memory_bytes()
    return min(available, limit) if limit else available


def default_memory_bytes(workers: int) -> int:
    """What one Lua state may take where nobody said: a fair part for each worker and one more for
    the script process.
    """
    return int(limits.MEMORY_SHARE * usable_memory_bytes() / (workers + 1))


def cgroup_cpu_quota(root: Path = _ROOT) -> float | None:
    """CPUs' worth of time per second that the cgroups above this process leave; None: no bound."""
    quotas = []
    for directory in _directories(root, "cpu"):
        match _words(directory / "cpu.max"):
            case [quota, period] if quota != "max":
                quotas.append(int(quota) / int(period))
        match _words(directory / "cpu.cfs_quota_us"), _words(directory / "cpu.cfs_period_us"):
            case [quota], [period] if int(quota) > 0:
                quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def cgroup_memory_bytes(root: Path = _ROOT) -> int | None:
    """The least memory limit among the cgroups above this process; None: no bound."""
    sizes = []
    for directory in _directories(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            match _words(directory / name):
                case [size] if size != "max":
                    sizes.append(int(size))
    return min(sizes, default=None)


def _directories(root: Path, controller: str) -> list[Path]:
    """The cgroup directories that bound this process for a controller, innermost first, up to the
    mount point; version 2 and, where the controller is mounted so, version 1.
    """
    own_paths = _own_paths(root, controller)
    found = []
    for line in _lines(root / "proc/self/mountinfo"):
        left, _, right = line.partition(" - ")
        kind, _, options = right.partition(" ")
        is_version_2 = kind == "cgroup2"
        if not is_version_2 and not (kind == "cgroup" and controller in options.split(",")[1:]):
            continue
        _, _, _, mount_root, mount_point, *_ = left.split(" ")
        path = own_paths.get("" if is_version_2 else controller, "/")
        inner = path.removeprefix(mount_root.rstrip("/")).strip("/")
        mounted = root / mount_point.lstrip("/")
        # In a container the path may be the host's, absent here: the levels that exist count.
        while inner:
            found.append(mounted / inner)
            inner = inner.rpartition("/")[0]
        found.append(mounted)
    return found


def _own_paths(root: Path, controller: str) -> dict[str, str]:
    """The cgroup of this process by hierarchy: ``""`` is version 2."""
    paths = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            paths[""] = path
        elif controller in controllers.split(","):
            paths[controller] = path
    return paths


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
