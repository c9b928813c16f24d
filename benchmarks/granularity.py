"""METG: the minimum effective task granularity.

As in E. Slaughter et al., "Task Bench: A Parameterized Benchmark for Evaluating Parallel Runtime
Performance", SC20 (arXiv:1908.05790): METG(50 %) is the smallest average task
granularity at which 50 % of the peak speed is still reached.  Granularity is wall time × workers /
tasks, overhead included, so at 50 % the tasks themselves take half of it.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.ways.way import Way

TASKS_MAX = 20_000
ROUND_S = 0.25
"""About as long as one round of a point takes."""

LARGEST_S = 0.04
"""The task that a sweep begins with."""

EFFICIENCY_MIN = 0.25
"""Where it ends."""


class Point(NamedTuple):
    """Tasks of one size.

    Attributes:
        granularity_s: wall time × workers / tasks.
        efficiency: of the peak, 0 to 1.
    """

    granularity_s: float
    efficiency: float


class _Speed(NamedTuple):
    granularity_s: float
    steps_per_s: float


def steps_per_s(way: Way, round_s: float = ROUND_S) -> float:
    """Of one worker alone, roughly: to choose how large tasks are."""
    steps = 10_000
    while (seconds := way.timed("map_each", "spin", [steps])[0]) < round_s:
        steps *= 2
    return steps / seconds


def sweep(way: Way, workers: int, *, rounds: int = 3, round_s: float = ROUND_S) -> list[Point]:
    """Tasks half as large each time, until less than a quarter of the peak is left.

    The peak is the highest speed that the way reached with tasks of any size.
    """
    steps = int(steps_per_s(way, round_s) * LARGEST_S)
    guess_s = LARGEST_S
    speeds: list[_Speed] = []
    while steps >= 1:
        count = max(10 * workers, min(TASKS_MAX, int(round_s * workers / guess_s)))
        speeds.append(_speed(way, workers, [steps] * count, rounds))
        guess_s = speeds[-1].granularity_s
        peak = max(speed.steps_per_s for speed in speeds)
        if speeds[-1].steps_per_s < EFFICIENCY_MIN * peak:
            break
        steps //= 2
    return [Point(speed.granularity_s, speed.steps_per_s / peak) for speed in speeds]


def _speed(way: Way, workers: int, tasks: list[int], rounds: int) -> _Speed:
    """The best of a few rounds."""
    best_s = min(way.timed("map_each", "spin", tasks)[0] for _ in range(rounds))
    return _Speed(best_s * workers / len(tasks), sum(tasks) / best_s)


def metg_s(points: Sequence[Point], efficiency: float = 0.5) -> float:
    """Where the curve falls below the efficiency, between two points on a logarithmic scale.

    Args:
        points: from the largest tasks to the smallest.
        efficiency: 0.5 for METG(50 %).

    Raises:
        ValueError: it never does, or always is.
    """
    for larger, smaller in itertools.pairwise(points):
        if larger.efficiency >= efficiency > smaller.efficiency:
            part = (larger.efficiency - efficiency) / (larger.efficiency - smaller.efficiency)
            low, high = math.log(smaller.granularity_s), math.log(larger.granularity_s)
            return math.exp(high + part * (low - high))
    raise ValueError(f"the curve does not cross {efficiency:.0%}: {points}")
