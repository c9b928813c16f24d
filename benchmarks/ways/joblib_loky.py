"""joblib with its default workers, loky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import joblib
from joblib.externals.loky import get_reusable_executor

from benchmarks import work
from benchmarks.ways.way import Way, timed_calls

if TYPE_CHECKING:
    from collections.abc import Sequence


class Joblib(Way):
    each_max = 3_000
    chunked_max = 250_000

    def start(self, workers: int) -> None:
        self._workers = workers
        self._batch_size: int | str = 0
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._parallel.__exit__(None, None, None)
        get_reusable_executor().shutdown(wait=True)

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        return self._map(name, items, 1)

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        return self._map(name, items, "auto")

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        function = getattr(work, name)
        return timed_calls(self._map, (name, [argument]), [function(argument)], count)

    def scatter(self, arrays: Sequence[Any]) -> list[float]:
        return self.map_each("touch", arrays)

    def gather(self, length: int, count: int) -> list[float]:
        return [work.touch(array) for array in self.map_each("fill", [length] * count)]

    def _map(self, name: str, items: Sequence[Any], batch_size: int | str = "auto") -> list[Any]:
        if batch_size != self._batch_size:
            self._keep(batch_size)
        function = joblib.delayed(getattr(work, name))
        results: list[Any] = self._parallel(function(item) for item in items)
        return results

    def _keep(self, batch_size: int | str) -> None:
        """Inside its context a Parallel keeps its workers and its folder from call to call."""
        if self._batch_size:
            self._parallel.__exit__(None, None, None)
        self._parallel = joblib.Parallel(n_jobs=self._workers, batch_size=batch_size).__enter__()
        self._batch_size = batch_size
