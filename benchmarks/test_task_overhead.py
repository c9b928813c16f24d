"""What does one task cost that does nothing, where each call is a task of its own (chunksize=1)?

A library may still write several tasks at once.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ways import WAYS
from benchmarks.ways.way import Way

MAPPING = [
    *("midas", "midas-aio", "midas-host", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"),
]


@pytest.mark.parametrize("way", MAPPING, indirect=True)
def test_no_op_each(way: Way, record: Any, quick: bool, request: Any) -> None:
    title = WAYS[request.node.callspec.params["way"]].title
    items = range(min(100_000, way.each_max) // (100 if quick else 1))

    def run() -> float:
        seconds, results = way.timed("map_each", "identity", items)
        assert results == list(items)
        return seconds

    record(title, "no-op, one call to a task", run, unit="/s", amount=len(items))
