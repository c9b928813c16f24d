"""The program of ``MpiPool``: ``mpiexec -n N python -m mpi4py.futures -m THIS ADDRESS``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mpi4py.futures import MPIPoolExecutor

from benchmarks import work
from benchmarks.ways.mpi_orders import serve
from benchmarks.ways.way import Way, timed_calls

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Pool(Way):
    def __init__(self, executor: MPIPoolExecutor) -> None:
        self._executor = executor

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        return list(self._executor.map(getattr(work, name), items))

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        """It has no automatic chunks: these are what Pool.map chooses."""
        size = -(-len(items) // (4 * self._executor.num_workers))
        return list(self._executor.map(getattr(work, name), items, chunksize=size))

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        function = getattr(work, name)

        def call() -> Any:
            return self._executor.submit(function, argument).result()

        return timed_calls(call, (), function(argument), count)


if __name__ == "__main__":
    with MPIPoolExecutor() as executor:
        executor.bootup()
        serve(sys.argv[1], _Pool(executor))
