"""The program of the collectives: ``mpiexec -n N python -m THIS root-works|root-idle ADDRESS``.

Rank 0 takes the orders and has the arrays.  All ranks keep their buffers from round to round, as
MPI programs do.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from benchmarks import work
from benchmarks.ways.mpi_orders import serve
from benchmarks.ways.way import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

WORLD = MPI.COMM_WORLD
EMPTY = np.empty(0)


class Rank(Way):
    """What one rank does of a collective call."""

    def __init__(self, *, root_works: bool) -> None:
        self._is_idle = WORLD.rank == 0 and not root_works
        self._idle_count = 0 if root_works else 1
        self._part = EMPTY
        self._whole = EMPTY

    def scatter(self, length: int) -> list[float]:
        """Of what the root has in ``_whole``."""
        part = self._buffer(length)
        WORLD.Scatterv([self._whole, self._counts(length)], part, root=0)
        return self._answer(0.0 if self._is_idle else work.touch(part))

    def gather(self, length: int) -> list[float]:
        part = self._buffer(length)
        part.fill(1.5)
        WORLD.Gatherv(part, [self._whole, self._counts(length)], root=0)
        starts = range(0, len(self._whole), length)  # none where no root is
        return [work.touch(self._whole[start : start + length]) for start in starts]

    def _buffer(self, length: int) -> np.ndarray:
        wanted = 0 if self._is_idle else length
        if len(self._part) != wanted:
            self._part = np.zeros(wanted)
        return self._part

    def _counts(self, length: int) -> list[int]:
        return [0] * self._idle_count + [length] * (WORLD.size - self._idle_count)

    def _answer(self, total: float) -> list[float]:
        totals = WORLD.gather(total, root=0)
        return [] if totals is None else totals[self._idle_count :]


class Root(Rank):
    """Tells the others what to do, and does its part."""

    def timed(self, method: str, *arguments: Any) -> tuple[float, Any]:
        if method == "scatter":
            length = self._load(*arguments)
        else:
            length, count = arguments
            self._whole = np.zeros(length * count) if not len(self._whole) else self._whole
        WORLD.Barrier()
        return super().timed("ordered", method, length)

    def ordered(self, method: str, length: int) -> list[float]:
        WORLD.bcast((method, length), root=0)
        totals: list[float] = getattr(self, method)(length)
        return totals

    def _load(self, arrays: Sequence[np.ndarray]) -> int:
        """Into one array, which stays where it is."""
        length = len(arrays[0])
        if len(self._whole) != length * len(arrays):
            self._whole = np.empty(length * len(arrays))
        for i, array in enumerate(arrays):
            self._whole[i * length : (i + 1) * length] = array
        return length


def main() -> None:
    root_works = sys.argv[1] == "root-works"
    if WORLD.rank == 0:
        serve(sys.argv[2], Root(root_works=root_works))
        WORLD.Barrier()
        WORLD.bcast(None, root=0)
        return
    rank = Rank(root_works=root_works)
    while True:
        WORLD.Barrier()
        order = WORLD.bcast(None, root=0)
        if order is None:
            return
        method, length = order
        getattr(rank, method)(length)


if __name__ == "__main__":
    main()
