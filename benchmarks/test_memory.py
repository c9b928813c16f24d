"""How much memory does one more worker take?

Proportional set size, which shares out what processes share, of all processes together, and how
much more that is than before the start; four workers are compared with two.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.started import started
from benchmarks.ways import WAYS

HAVING_WORKERS = ["midas", "midas-tcp", "pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"]
FEW, MANY = 2, 4


@pytest.mark.parametrize("name", HAVING_WORKERS)
def test_memory(name: str, record_size: Any) -> None:
    more_mb = _mb(name, MANY) - _mb(name, FEW)
    record_size(WAYS[name].title, "one more worker", more_mb / (MANY - FEW))


@pytest.mark.parametrize("name", HAVING_WORKERS)
def test_memory_in_all(name: str, record_size: Any) -> None:
    record_size(WAYS[name].title, "all that two workers take", _mb(name, FEW))


_MEASURED: dict[tuple[str, int], float] = {}


def _mb(name: str, workers: int) -> float:
    """Measured once for each number of workers."""
    if (name, workers) not in _MEASURED:
        _MEASURED[name, workers] = started(name, workers).size_mb
    return _MEASURED[name, workers]
