"""How much memory does one more worker take?

Proportional set size, which shares out what processes share, of all processes that a way has
started; four workers are compared with two.
"""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from benchmarks.ways import WAYS
from benchmarks.yard import Yard

HAVING_WORKERS = ["midas", "midas-tcp", "pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"]
FEW, MANY = 2, 4


@pytest.mark.parametrize("name", HAVING_WORKERS)
def test_memory(name: str, yard: Yard, record_size: Any) -> None:
    few = _started_mb(yard, name, FEW)
    many = _started_mb(yard, name, MANY)
    record_size(WAYS[name].title, "one more worker", (many - few) / (MANY - FEW))


@pytest.mark.parametrize("name", HAVING_WORKERS)
def test_memory_in_all(name: str, yard: Yard, record_size: Any) -> None:
    record_size(WAYS[name].title, "all processes for two workers", _started_mb(yard, name, FEW))


def _started_mb(yard: Yard, name: str, workers: int) -> float:
    """Measured once for each number of workers."""
    if (name, workers) not in _MEASURED:
        yard.close()
        before = {process.pid for process in psutil.Process().children(recursive=True)}
        yard.ready(name, workers)
        started = psutil.Process().children(recursive=True)
        sizes = [one.memory_full_info().pss for one in started if one.pid not in before]
        _MEASURED[name, workers] = sum(sizes) / 2**20
    return _MEASURED[name, workers]


_MEASURED: dict[tuple[str, int], float] = {}
