"""The figures that Midas set out to reach, each as a ratio of two rows of one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.rows import Row, ratio

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXECUTOR = "Midas Executor"
KERNELS = ("sieve", "mandelbrot", "fib", "nbody", "strings")

Cell = tuple[str, str, str]
"""Question, case, way."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A bar.  With others: so many times as good as the best of them; else a bound by itself.

    Attributes:
        says: the bar in words.
        of: whose row is held against it.
        factor: at least so many times as good as any of the others; or, without others, the
            value that must not be exceeded.
        others: the ways of the same question and case that it is held against.
    """

    says: str
    of: Cell
    factor: float
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it came out in one run.

    Attributes:
        came_to: the ratio, or the value itself where there are no others.
        measure: 1 or more when it was reached.
        mine: the row that was held against it.
        other: the best of the others.
    """

    figure: Figure
    came_to: float
    measure: float
    mine: Row
    other: Row | None = None

    @property
    def is_reached(self) -> bool:
        return self.measure >= 1


def _each() -> list[Figure]:
    cell = ("task_overhead", "no-op, one call to a task", EXECUTOR)
    return [
        Figure("no-op tasks/s, chunksize=1: ≥ 5 × Pool.imap", cell, 5, ("multiprocessing.Pool",)),
        Figure("no-op tasks/s, chunksize=1: ≥ 100 × Dask", cell, 100, ("Dask",)),
        Figure("no-op tasks/s, chunksize=1: ≥ 100 × Ray", cell, 100, ("Ray",)),
    ]


def _chunks() -> list[Figure]:
    pool = ("multiprocessing.Pool",)
    no_op = ("automatic_chunks", "no-op, automatic chunks", EXECUTOR)
    loop = ("automatic_chunks", "a loop of 100 steps, automatic chunks", EXECUTOR)
    return [
        Figure("map of 1,000,000 numbers, no-op: ≥ 1 × Pool.map", no_op, 1, pool),
        Figure("map of 1,000,000 numbers, 100 steps each: ≥ 5 × Pool.map", loop, 5, pool),
    ]


def _round_trips() -> list[Figure]:
    client = ("round_trip", "one no-op after the other", "Midas aio.Client")
    return [
        Figure(f"round trip, {name}: ≤ {times} × {words}", (*client[:2], way), 1 / times, (limit,))
        for words, limit in (
            ("a raw Unix socket", "limit: raw Unix socket"),
            ("a raw Unix socket, a core each", "limit: raw Unix socket, a core each"),
        )
        for name, way, times in (("asyncio client", client[2], 2), ("Executor", EXECUTOR, 4))
    ]


def _arrays() -> list[Figure]:
    scatter, gather = "scatter 2 × 64 MB float64", "gather 2 × 64 MB float64"
    mpi = ("mpi4py collectives", "mpi4py collectives, idle root")
    copied, collected = ("arrays", scatter, EXECUTOR), ("arrays", gather, EXECUTOR)
    born = ("arrays", scatter, "Midas Executor, arrays from midas_mp.empty")
    return [
        Figure("scatter 2 × 64 MB: ≥ 0.8 × memcpy", copied, 0.8, ("limit: memcpy",)),
        Figure("scatter 2 × 64 MB: ≥ 1.5 × Ray", copied, 1.5, ("Ray",)),
        Figure("scatter 2 × 64 MB born in shared memory: ≥ 2 × mpi4py", born, 2, mpi),
        Figure("gather 2 × 64 MB: ≥ mpi4py's Gather", collected, 1, mpi),
        Figure("gather 2 × 64 MB: ≥ 4 × Ray", collected, 4, ("Ray",)),
    ]


def _inside() -> list[Figure]:
    codec = ("codec", "records: Lua table → bytes → Lua table", "Midas codec, inside Lua")
    metg = ("metg", "METG(50 %), one call to a task", EXECUTOR)
    command = (
        *("startup", "a command, from start to end"),
        "Midas: midas run of a trivial script",
    )
    kernels = [
        Figure(
            f"{name} in a worker: ≥ 0.95 × the luajit binary",
            ("kernels", name, "Midas worker"),
            0.95,
            ("luajit binary",),
        )
        for name in KERNELS
    ]
    return [
        Figure(
            "nested records: ≥ 10 × the way through Python objects",
            codec,
            10,
            ("through Python objects",),
        ),
        Figure("METG(50 %), chunksize=1: ≤ 30 µs", metg, 30),
        *kernels,
        Figure("midas run of a trivial script: ≤ 0.3 s", command, 0.3),
    ]


FIGURES = (*_each(), *_chunks(), *_round_trips(), *_arrays(), *_inside())


def verdict(figure: Figure, rows: Mapping[Cell, Row]) -> Verdict | None:
    """None where a row is missing: then nothing can be said."""
    mine = rows.get(figure.of)
    if mine is None:
        return None
    if not figure.others:
        return Verdict(figure, mine.best, figure.factor / mine.best, mine)
    found = [rows[(*figure.of[:2], way)] for way in figure.others if (*figure.of[:2], way) in rows]
    if not found:
        return None
    other = min(found, key=lambda row: ratio(mine, row))
    came_to = ratio(mine, other)
    return Verdict(figure, came_to, came_to / figure.factor, mine, other)


def best_verdict(figure: Figure, runs: Sequence[Mapping[Cell, Row]]) -> Verdict | None:
    """Of several runs the best; each is a ratio within one of them."""
    verdicts = [found for run in runs if (found := verdict(figure, run))]
    return max(verdicts, key=lambda one: one.measure, default=None)
