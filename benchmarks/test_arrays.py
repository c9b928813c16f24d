"""How fast do large arrays get to the workers, and from them?

Whoever gets an array reads the first element of each of its pages, so that pages which were only
mapped are really there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import work
from benchmarks.ways import WAYS, limits
from benchmarks.ways.way import Way

MOVING = [
    *("midas", "midas-host", "midas-tcp"),
    *("pool", "process-pool", "joblib", "dask", "ray", "mpi", "mpi-apart"),
]
COUNT = 2
LENGTH = 8 * 2**20
QUICK_LENGTH = 2**17
SCATTER = "scatter 2 × 64 MB float64"
GATHER = "gather 2 × 64 MB float64"


@pytest.fixture
def length(quick: bool) -> int:
    return QUICK_LENGTH if quick else LENGTH


@pytest.mark.parametrize("way", MOVING, indirect=True)
def test_scatter(way: Way, record: Any, length: int, request: Any) -> None:
    """New arrays each time: nobody may know them already."""
    numbers = itertools.count(1.0)

    def prepare() -> list[np.ndarray]:
        return [np.full(length, next(numbers)) for _ in range(COUNT)]

    _scatter(way, record, _title(request), prepare)


@pytest.mark.parametrize("way", ["midas"], indirect=True)
def test_scatter_born_shared(way: Any, record: Any, length: int) -> None:
    arrays = [way.empty(length) for _ in range(COUNT)]
    numbers = itertools.count(1.0)

    def prepare() -> list[np.ndarray]:
        for array in arrays:
            array[:] = next(numbers)
        return arrays

    _scatter(way, record, "Midas Executor, arrays from midas_mp.empty", prepare)


@pytest.mark.parametrize("way", MOVING, indirect=True)
def test_gather(way: Way, record: Any, length: int, request: Any) -> None:
    expected = [1.5 * length / work.ELEMENTS_PER_PAGE] * COUNT

    def run() -> float:
        seconds, totals = way.timed("gather", length, COUNT)
        assert totals == expected
        return seconds

    run()  # what is warm in a long-lived program is warm
    record(_title(request), GATHER, run, unit="GB/s", amount=COUNT * length * 8, rounds=7)


@pytest.mark.parametrize("case", [SCATTER, GATHER], ids=["scatter", "gather"])
def test_memcpy(case: str, record: Any, length: int) -> None:
    source, target = np.ones(COUNT * length), np.zeros(COUNT * length)

    def run() -> float:
        return limits.memcpy(source, target)

    run()
    record("limit: memcpy", case, run, unit="GB/s", amount=source.nbytes, rounds=7)
    assert (target == source).all()


def _scatter(way: Way, record: Any, title: str, prepare: Callable[[], list[np.ndarray]]) -> None:
    def run() -> float:
        arrays = prepare()
        seconds, totals = way.timed("scatter", arrays)
        assert totals == [work.touch(array) for array in arrays]
        return seconds

    run()
    size_bytes = sum(array.nbytes for array in prepare())
    record(title, SCATTER, run, unit="GB/s", amount=size_bytes, rounds=7)


def _title(request: Any) -> str:
    return WAYS[request.node.callspec.params["way"]].title
