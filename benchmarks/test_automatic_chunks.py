"""What does one small call cost when the library may put many into one task?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import work
from benchmarks.ways import WAYS
from benchmarks.ways.way import Way

CHUNKING = [
    *("midas", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"),
]
CASES = {"identity": "no-op", "add_up": "a loop of 100 steps"}
COUNT = 1_000_000


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", CHUNKING, indirect=True)
def test_chunked(way: Way, name: str, record: Any, quick: bool, request: Any) -> None:
    items = range(min(COUNT, way.chunked_max) // (500 if quick else 1))
    function = getattr(work, name)
    expected = [function(item) for item in items]

    def run() -> float:
        seconds, results = way.timed("map_chunked", name, items)
        assert results == expected
        return seconds

    title = WAYS[request.node.callspec.params["way"]].title
    record(title, f"{CASES[name]}, automatic chunks", run, unit="/s", amount=len(items), rounds=4)
