"""What does one slow node cost at the end of a job?

Of two nodes with one worker each, the worker of one stands still nine tenths of the time.  Ideal
are 1.1 cores kept busy; each row says how many were, by what the same tasks take when both run.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest

import midas_mp
from benchmarks.slow_node import slowed
from benchmarks.ways.midas import SOURCES

SPEED = 0.1
TASKS = 1_000
STEPS_PER_MS = 250_000
"""About; what it really takes is measured."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[midas_mp.LocalCluster]:
    with midas_mp.LocalCluster(workers=1, participants=2) as cluster:
        yield cluster


@pytest.mark.parametrize("task_ms", [5, 20, 100])
def test_one_node_of_two_is_slow(
    task_ms: int, cluster: midas_mp.LocalCluster, record: Any, quick: bool
) -> None:
    if quick and task_ms > 5:
        pytest.skip("not in a quick run")
    spin = midas_mp.lua_function(SOURCES, "spin")
    items = [STEPS_PER_MS * task_ms] * (20 if quick else TASKS)
    with cluster.executor() as executor:

        def seconds() -> float:
            began = perf_counter()
            assert len(list(executor.map(spin, items, chunksize=1))) == len(items)
            return perf_counter() - began

        busy_s = 2 * seconds()

        def run() -> float:
            with slowed(cluster.participants[0], SPEED):
                return seconds()

        case = f"{len(items)} tasks of {task_ms} ms, a node of two at a tenth of its speed"
        record("Midas", case, run, unit="cores", amount=busy_s, rounds=1 if task_ms > 20 else 3)
