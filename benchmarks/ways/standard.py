"""What comes with Python: multiprocessing.Pool and ProcessPoolExecutor."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

from benchmarks import work
from benchmarks.ways.way import Way, timed_calls

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pool(Way):
    each_max = 100_000

    def start(self, workers: int) -> None:
        self._pool = multiprocessing.Pool(workers)
        self.map_each("identity", range(workers))

    def stop(self) -> None:
        self._pool.close()
        self._pool.join()

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        return list(self._pool.imap(getattr(work, name), items, chunksize=1))

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        return self._pool.map(getattr(work, name), items)

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        function = getattr(work, name)
        return timed_calls(self._pool.apply, (function, (argument,)), function(argument), count)

    def scatter(self, arrays: Sequence[Any]) -> list[float]:
        return self.map_each("touch", arrays)

    def gather(self, length: int, count: int) -> list[float]:
        return [work.touch(array) for array in self.map_each("fill", [length] * count)]


class ProcessPool(Way):
    each_max = 20_000

    def start(self, workers: int) -> None:
        self._workers = workers
        self._executor = ProcessPoolExecutor(workers)
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._executor.shutdown()

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        return list(self._executor.map(getattr(work, name), items))

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        """It has no automatic chunks: these are what Pool.map chooses."""
        size = -(-len(items) // (4 * self._workers))
        return list(self._executor.map(getattr(work, name), items, chunksize=size))

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        function = getattr(work, name)

        def call() -> Any:
            return self._executor.submit(function, argument).result()

        return timed_calls(call, (), function(argument), count)

    def scatter(self, arrays: Sequence[Any]) -> list[float]:
        return self.map_each("touch", arrays)

    def gather(self, length: int, count: int) -> list[float]:
        return [work.touch(array) for array in self.map_each("fill", [length] * count)]
