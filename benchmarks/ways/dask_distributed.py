"""Dask: a local cluster of processes with one thread each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.bag
import distributed

from benchmarks import work
from benchmarks.ways.way import Way, timed_calls

if TYPE_CHECKING:
    from collections.abc import Sequence


class Dask(Way):
    each_max = 1_000
    chunked_max = 50_000

    def start(self, workers: int) -> None:
        self._workers = workers
        self._cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
        )
        self._client = distributed.Client(self._cluster)
        self._client.wait_for_workers(workers)
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._client.close()
        self._cluster.close()

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        futures = self._client.map(getattr(work, name), items, pure=False)
        results: list[Any] = self._client.gather(futures)
        return results

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        bag = dask.bag.from_sequence(items, npartitions=4 * self._workers)
        results: list[Any] = bag.map(getattr(work, name)).compute(scheduler=self._client)
        return results

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        function = getattr(work, name)

        def call() -> Any:
            return self._client.submit(function, argument, pure=False).result()

        return timed_calls(call, (), function(argument), count)

    def scatter(self, arrays: Sequence[Any]) -> list[float]:
        return self.map_each("touch", self._client.scatter(list(arrays), hash=False))

    def gather(self, length: int, count: int) -> list[float]:
        return [work.touch(array) for array in self.map_each("fill", [length] * count)]
