"""What users say of an executor and of a map, checked and in our own words."""

from __future__ import annotations

from typing import Final, NamedTuple

from midas_mp.config import parse_duration, parse_engine, parse_size
from midas_mp.errors import UsageError
from midas_mp.executor.collector import Collector
from midas_mp.executor.feed import MapPlan
from midas_mp.executor.function import LuaFunction
from midas_mp.executor.progress import Told
from midas_mp.executor.workplace import WorkplaceSpec
from midas_mp.transport.address import Address
from midas_mp.wire.messages import JobSpec

_PARTS_PER_WORKER: Final = 4
"""Tasks of each worker that a full buffer shall make."""


class MapOptions(NamedTuple):
    """What ``map`` and ``starmap`` understand alike."""

    timeout: float | None
    chunksize: int | None
    buffersize: int | None
    unordered: bool
    progress: Told | bool

    def plan(self, function: LuaFunction, arity: int, workers: int) -> MapPlan:
        """What the feed must know, on so many workers.

        Raises:
            ValueError: a size below 1.
        """
        for name, size in (("chunksize", self.chunksize), ("buffersize", self.buffersize)):
            if size is not None and (not isinstance(size, int) or size < 1):
                raise ValueError(f"{name} must be a whole number of 1 or more, not {size!r}")
        size_max = 0
        if self.buffersize is not None:  # every worker shall have some of it
            size_max = max(1, self.buffersize // (_PARTS_PER_WORKER * max(1, workers)))
        return MapPlan(function, arity, self.chunksize, size_max)

    def collector(self, *, raw: bool) -> Collector:
        """What puts the results in order."""
        return Collector(is_single=self.chunksize == 1, unordered=self.unordered, raw=raw)


def make_site(
    address: str | None,
    workers: int | None,
    memory: int | str | None,
    sandbox_level_max: int,
    *,
    host_process: bool = False,
) -> WorkplaceSpec:
    """Where calls run.

    Raises:
        UsageError: an option makes no sense.
    """
    if address is not None and workers is not None:
        raise UsageError("max_workers is for this machine; at an address the host has workers")
    if address is not None and host_process:
        raise UsageError("host_process is for this machine; at an address there is a host")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise UsageError(f"max_workers must be a whole number of 1 or more, not {workers!r}")
    return WorkplaceSpec(
        Address.parse(address) if address is not None else None,
        workers,
        memory_bytes(memory) or None,
        sandbox_level_max,
        host_process,
    )


def make_spec(
    timeout: float | str | None, memory: int | str | None, seed: int, lua: str
) -> JobSpec:
    return JobSpec(
        engine=parse_engine(lua),
        seed=seed,
        timeout_s=0.0 if timeout is None else parse_duration(_plain(timeout)),
        memory_bytes=memory_bytes(memory),
    )


def memory_bytes(memory: int | str | None) -> int:
    """What somebody said of memory; 0 is nothing.

    Raises:
        UsageError: that is no size.
    """
    return 0 if memory is None else parse_size(_plain(memory))


def _plain(said: float | str) -> str:
    """A number in plain digits."""
    return f"{said:.9f}" if isinstance(said, float) else str(said)
