"""Midas, by its own doors: Executor, the asyncio client, and a cluster over TCP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import uvloop

import midas_mp
import midas_mp.aio
from benchmarks import work
from benchmarks.ways.way import Way, timed_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = Path(__file__).parent.parent / "work.lua"


class _Mapping(Way):
    """Whatever has an Executor."""

    _executor: midas_mp.Executor

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        return list(self._executor.map(_function(name), items, chunksize=1))

    def map_chunked(self, name: str, items: Sequence[Any]) -> list[Any]:
        return list(self._executor.map(_function(name), items))

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        function = _function(name)

        def call() -> Any:
            return self._executor.submit(function, argument).result()

        return timed_calls(call, (), getattr(work, name)(argument), count)

    def scatter(self, arrays: Sequence[Any]) -> list[float]:
        return self.map_each("touch", arrays)

    def gather(self, length: int, count: int) -> list[float]:
        return [work.touch(array) for array in self.map_each("fill", [length] * count)]


class MidasExecutor(_Mapping):
    """Host and launcher in this process."""

    def start(self, workers: int) -> None:
        self._executor = midas_mp.Executor(max_workers=workers)
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._executor.shutdown()

    def empty(self, length: int) -> Any:
        """An array that lies in shared memory from the beginning."""
        return midas_mp.empty(length, "float64")


class MidasHostProcess(_Mapping):
    """Host and launcher in a process of their own."""

    def start(self, workers: int) -> None:
        self._executor = midas_mp.Executor(max_workers=workers, host_process=True)
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._executor.shutdown()


class MidasCluster(_Mapping):
    """A host and a participant as processes of their own, by TCP."""

    def start(self, workers: int) -> None:
        self._cluster = midas_mp.LocalCluster(workers=workers)
        self._executor = self._cluster.executor()
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._executor.shutdown()
        self._cluster.close()


class MidasClient(Way):
    """Host and launcher in the caller's own loop."""

    def start(self, workers: int) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._client = midas_mp.aio.Client(max_workers=workers)
        self._runner.run(self._client.__aenter__())
        self.map_each("identity", range(10 * workers))

    def stop(self) -> None:
        self._runner.run(self._client.__aexit__(None, None, None))
        self._runner.close()

    def map_each(self, name: str, items: Sequence[Any]) -> list[Any]:
        return self._runner.run(self._map(name, items))

    def round_trips(self, name: str, argument: Any, count: int) -> list[float]:
        return self._runner.run(self._calls(name, argument, count))

    async def _map(self, name: str, items: Sequence[Any]) -> list[Any]:
        return [result async for result in self._client.map(_function(name), items, chunksize=1)]

    async def _calls(self, name: str, argument: Any, count: int) -> list[float]:
        function, expected, seconds = _function(name), getattr(work, name)(argument), []
        for _ in range(count):
            start = perf_counter()
            result = await self._client.submit(function, argument)
            seconds.append(perf_counter() - start)
            if result != expected:
                raise AssertionError(f"expected {expected!r}, got {result!r}")
        return seconds


def _function(name: str) -> Any:
    return midas_mp.lua_function(SOURCES, name)
