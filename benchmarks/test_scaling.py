"""What do more workers bring, and what do more tasks cost?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.granularity import steps_per_s
from benchmarks.ways import WAYS
from benchmarks.yard import WORKERS, Yard

SCALING = ["midas", "midas-tcp", "pool", "process-pool", "joblib", "dask", "ray", "mpi-pool"]
COUNTING = ["midas", "pool"]
_SPEEDS: dict[str, float] = {}
TASKS = 64
SPIN_S = 0.02
"""What one of these tasks takes, or about."""

TASK_COUNTS = (100, 1_000, 10_000, 100_000, 1_000_000)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("name", SCALING)
def test_workers(name: str, workers: int, yard: Yard, record: Any, quick: bool) -> None:
    """Tasks of some 20 ms each: nothing but the number of cores should matter."""
    if quick and workers != WORKERS:
        pytest.skip("not in a quick run")
    way = yard.ready(name, workers)
    speed = _speed(name, way, quick)
    steps = int(speed * (0.001 if quick else SPIN_S))

    def run() -> float:
        seconds, _ = way.timed("map_each", "spin", [steps] * TASKS)
        return float(seconds)

    busy_s = TASKS * steps / speed
    case = f"tasks of 20 ms, {workers} workers"
    record(WAYS[name].title, case, run, unit="cores", amount=busy_s, rounds=3)


@pytest.mark.parametrize("task_count", TASK_COUNTS)
@pytest.mark.parametrize("way", COUNTING, indirect=True)
def test_tasks(way: Any, task_count: int, record: Any, quick: bool, request: Any) -> None:
    if task_count > (10_000 if quick else way.each_max):
        pytest.skip(f"{task_count} tasks are too many for it")
    items = range(task_count)

    def run() -> float:
        seconds, results = way.timed("map_each", "identity", items)
        assert results == list(items)
        return float(seconds)

    title = WAYS[request.node.callspec.params["way"]].title
    rounds = max(1, min(20, 200_000 // task_count))
    case = f"{task_count} no-op tasks, one call to a task"
    record(title, case, run, unit="µs", amount=task_count, rounds=rounds)


def _speed(name: str, way: Any, quick: bool) -> float:
    """Of one worker: measured once, so that all numbers of workers have the same tasks."""
    if name not in _SPEEDS:
        _SPEEDS[name] = steps_per_s(way, 0.02) if quick else steps_per_s(way)
    return _SPEEDS[name]
