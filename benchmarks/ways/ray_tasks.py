"""Ray: remote functions on a cluster of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns of the future

import ray
import ray.util.multiprocessing

from benchmarks import work
from benchmarks.ways.way import Way, timed_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

STORE_BYTES = 2 * 1024**3


class Ray(Way):
    each_max = 3_000
    chunked_max = 200_000

    def start(self, workers: int) -> None:
        self._workers = workers
        self._remote: dict[str, Any] = {}
        self._pool: Any = None
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=STORE_BYTES,
        )
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._close_pool()
        ray.shutdown()

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        self._close_pool()
        function = self._function(name)
        results: list[Any] = ray.get([function.remote(item) for item in items])
        return results

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        if self._pool is None:
            self._pool = ray.util.multiprocessing.Pool(self._workers)
        results: list[Any] = self._pool.map(getattr(work, name), items)
        return results

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        self._close_pool()
        function = self._function(name)

        def call() -> Any:
            return ray.get(function.remote(argument))

        return timed_calls(call, (), getattr(work, name)(argument), count)

    def scatter(self, arrays: Sequence[Any]) -> list[float]:
        return self.map_each("touch", arrays)

    def gather(self, length: int, count: int) -> list[float]:
        return [work.touch(array) for array in self.map_each("fill", [length] * count)]

    def _function(self, name: str) -> Any:
        if name not in self._remote:
            self._remote[name] = ray.remote(getattr(work, name))
        return self._remote[name]

    def _close_pool(self) -> None:
        """Its actors hold the CPUs that tasks wait for."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None
