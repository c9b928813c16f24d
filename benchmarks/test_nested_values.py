"""How fast do nested records get to the workers and back?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.records import records
from benchmarks.ways import WAYS
from benchmarks.ways.way import Way

MOVING = [
    *("midas", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"),
]
COUNT = 20_000


@pytest.mark.parametrize("way", MOVING, indirect=True)
def test_records_there_and_back(way: Way, record: Any, quick: bool, request: Any) -> None:
    count = COUNT // (20 if quick else 1)
    items = [{"rows": records(count)} for _ in range(2)]
    expected = [{**item, "marked": True} for item in items]

    def run() -> float:
        seconds, results = way.timed("map_each", "mark", items)
        assert results == expected
        return seconds

    title = WAYS[request.node.callspec.params["way"]].title
    record(title, f"2 × {COUNT} records there and back", run, unit="/s", amount=2 * count, rounds=4)
