"""How long does one call take, there and back, when nothing else is going on?

And how long when the cores are awake anyway: then it is the work that counts, and not how long the
machine takes to wake a core up.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from benchmarks.awake import cores_awake
from benchmarks.ways import WAYS, limits
from benchmarks.ways.way import Way

CALLING = [
    *("midas", "midas-aio", "midas-host", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"),
]
QUIET, AWAKE = "one no-op after the other", "one no-op after the other, cores awake"
COUNTS = {"joblib": 50, "dask": 100}
"""Of slow ones; else as many as COUNT."""
COUNT = 500


@pytest.fixture(scope="module", params=[QUIET, AWAKE], ids=["quiet", "awake"])
def case(request: pytest.FixtureRequest) -> Iterator[str]:
    with nullcontext() if request.param == QUIET else cores_awake():
        yield request.param


@pytest.mark.parametrize("way", CALLING, indirect=True)
def test_call(way: Way, case: str, record: Any, quick: bool, request: Any) -> None:
    name = request.node.callspec.params["way"]
    count = 20 if quick else COUNTS.get(name, COUNT)

    def run() -> float:
        _, seconds = way.timed("round_trips", "identity", 7, count)
        return statistics.median(seconds)

    record(WAYS[name].title, case, run, unit="µs")


@pytest.mark.parametrize(
    ("title", "ping_pong"),
    [
        ("limit: raw Unix socket", limits.unix_ping_pong),
        ("limit: raw Unix socket, a core each", limits.unix_ping_pong_apart),
        ("limit: raw TCP socket", limits.tcp_ping_pong),
    ],
    ids=["unix", "unix-apart", "tcp"],
)
def test_raw(
    title: str, case: str, ping_pong: Callable[[int], list[float]], record: Any, quick: bool
) -> None:
    count = 20 if quick else COUNT
    record(title, case, lambda: statistics.median(ping_pong(count)), unit="µs")
