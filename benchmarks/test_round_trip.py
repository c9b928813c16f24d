"""How long does one call take, there and back, when nothing else is going on?"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.ways import WAYS, limits
from benchmarks.ways.way import Way

CALLING = [
    *("midas", "midas-aio", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"),
]
CASE = "one no-op after the other"
COUNTS = {"joblib": 50, "dask": 100}
"""Of slow ones; else as many as COUNT."""
COUNT = 500


@pytest.mark.parametrize("way", CALLING, indirect=True)
def test_call(way: Way, record: Any, quick: bool, request: Any) -> None:
    name = request.node.callspec.params["way"]
    count = 20 if quick else COUNTS.get(name, COUNT)

    def run() -> float:
        _, seconds = way.timed("round_trips", "identity", 7, count)
        return statistics.median(seconds)

    record(WAYS[name].title, CASE, run, unit="µs")


@pytest.mark.parametrize(
    ("title", "ping_pong"),
    [
        ("limit: raw Unix socket", limits.unix_ping_pong),
        ("limit: raw TCP socket", limits.tcp_ping_pong),
    ],
    ids=["unix", "tcp"],
)
def test_raw(title: str, ping_pong: Callable[[int], list[float]], record: Any, quick: bool) -> None:
    count = 20 if quick else COUNT
    record(title, CASE, lambda: statistics.median(ping_pong(count)), unit="µs")
