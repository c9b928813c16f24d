"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

DISTRIBUTIONS = (
    *("midas_mp", "lupa", "msgspec", "msgpack", "uvloop", "numpy"),
    *("joblib", "dask", "distributed", "ray", "mpi4py", "mpich"),
)


def about(*, quick: bool) -> dict[str, object]:
    """A flat table for the report."""
    return {
        "quick": quick,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
        "versions": _versions(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> dict[str, str]:
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    versions["luajit"] = "not installed"
    if luajit := shutil.which("luajit"):
        told = subprocess.run([luajit, "-v"], capture_output=True, text=True, check=True)
        versions["luajit"] = told.stdout.split()[1]
    return versions
