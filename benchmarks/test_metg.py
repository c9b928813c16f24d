"""How small may tasks be, each of one call, before half of the speed is lost?

METG(50 %), as ``granularity`` defines it.
"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.granularity import metg_s, sweep
from benchmarks.ways import WAYS
from benchmarks.ways.way import Way
from benchmarks.yard import WORKERS

MAPPING = [
    *("midas", "midas-aio", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"),
]


@pytest.mark.parametrize("way", MAPPING, indirect=True)
def test_metg(way: Way, record: Any, benchmark: Any, quick: bool, request: Any) -> None:
    points = []

    def run() -> float:
        points[:] = sweep(way, WORKERS, rounds=1, round_s=0.02) if quick else sweep(way, WORKERS)
        return metg_s(points)

    title = WAYS[request.node.callspec.params["way"]].title
    record(title, "METG(50 %), one call to a task", run, unit="µs", rounds=2)
    benchmark.extra_info["curve"] = points
