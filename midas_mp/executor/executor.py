"""``concurrent.futures`` for Lua: the functions are Lua, everything else is as it is there."""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from midas_mp.client.values import Packer
from midas_mp.config import parse_duration, parse_engine, parse_size
from midas_mp.errors import UsageError
from midas_mp.executor.bridge import Bridge
from midas_mp.executor.collector import Collector
from midas_mp.executor.feed import MapPlan
from midas_mp.executor.function import LuaFunction, as_function
from midas_mp.executor.future import LuaFuture
from midas_mp.executor.items import Items
from midas_mp.executor.mapping import Mapping
from midas_mp.executor.progress import Progress, Told
from midas_mp.executor.workplace import Site
from midas_mp.transport.address import Address
from midas_mp.wire.messages import JobSpec

_Function = LuaFunction | str


class _OwnPacker(threading.local):
    """Each thread that submits packs for itself."""

    def __init__(self) -> None:
        self.packer = Packer()


class _MapOptions(NamedTuple):
    """What ``map`` and ``starmap`` understand alike."""

    timeout: float | None
    chunksize: int | None
    buffersize: int | None
    unordered: bool
    progress: Told | bool

    def check(self) -> None:
        for name, size in (("chunksize", self.chunksize), ("buffersize", self.buffersize)):
            if size is not None and (not isinstance(size, int) or size < 1):
                raise ValueError(f"{name} must be a whole number of 1 or more, not {size!r}")


class Executor(concurrent.futures.Executor):
    """Calls Lua functions on the workers of this machine, or of a standing host.

    A function is Lua source, such as ``"function(x) return x * x end"``, source of a chunk that
    returns one, or ``midas_mp.lua_function(path, name)``.  Arguments and results are None, bool,
    int, float, str, bytes, list, dict and NumPy arrays; arrays in results are read-only.

    Args:
        address: ``"HOST:3000"`` of a standing host; None starts workers here.
        max_workers: how many here; None is one for each usable CPU.
        timeout: bound of each call, in seconds or as ``"20s"``.
        memory: bound of each Lua state, in bytes or as ``"256MB"``.
        seed: of math.random, which draws for each call by its own number.
        lua: ``"luajit"``, ``"5.4"`` or ``"5.5"``.
        raw: every string of Lua comes as bytes.
        sandbox_level_max: of the workers here.

    Raises:
        UsageError: an option makes no sense.
        HostUnreachable: nobody answers at the address.
        PeerRefused: the host does not want us.
        ProcessLost: no process can be started here.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        max_workers: int | None = None,
        timeout: float | str | None = None,
        memory: int | str | None = None,
        seed: int = 0,
        lua: str = "luajit",
        raw: bool = False,
        sandbox_level_max: int = 3,
    ) -> None:
        site = _site(address, max_workers, memory, sandbox_level_max)
        spec = _spec(timeout, memory, seed, lua)
        self._raw = raw
        self._where = str(site.address) if site.address else "this machine"
        self._own = _OwnPacker()
        self._bridge = Bridge(site, spec, "midas executor", _print)
        self._release = weakref.finalize(self, self._bridge.shut_down, cancel=False)
        self._release.atexit = False  # the bridge has its own

    # -- calls -------------------------------------------------------------------------------------

    def submit(self, fn: _Function, /, *args: Any) -> LuaFuture:  # type: ignore[override]
        """Calls a Lua function; its future.

        Raises:
            TypeError: that is no Lua function.
            UnsendableValue: an argument is no value of Lua; says which and where.
            ScriptError: the source is bytecode.
            ExecutorClosed: after ``shutdown``.
        """
        function = as_function(fn)
        payload = self._own.packer.arguments(args)
        future = LuaFuture(self._bridge, function, raw=self._raw)
        self._bridge.call(future, function, payload)
        return future

    def map(  # type: ignore[override]
        self,
        fn: _Function,
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        unordered: bool = False,
        progress: Told | bool = False,
    ) -> Iterator[Any]:
        """Calls a Lua function with one argument from each iterable; what the calls return.

        The first error is raised at its place, and ends it.  Closing or dropping the iterator
        stops what is left.

        Args:
            fn: the function.
            iterables: read at once, or as far as ``buffersize`` allows.
            timeout: seconds from now in which every result must be there, else TimeoutError.
            chunksize: calls in one task; None is as many as take a few milliseconds.
            buffersize: calls at most whose results were not read; iterables may be endless then.
            unordered: give results as they come.
            progress: called with how many results were given, and of how many (None: not known);
                True draws a bar.

        Raises:
            TypeError: that is no Lua function, or there are no iterables.
            ValueError: a size below 1.
            ExecutorClosed: after ``shutdown``.
        """
        items = Items.parallel(iterables)
        options = _MapOptions(timeout, chunksize, buffersize, unordered, progress)
        return self._map(fn, items, options)

    def starmap(
        self,
        fn: _Function,
        iterable: Iterable[Sequence[Any]],
        /,
        *,
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        unordered: bool = False,
        progress: Told | bool = False,
    ) -> Iterator[Any]:
        """As ``map``, over rows that hold all arguments of a call; all rows are of one length.

        Raises:
            ValueError: they are not, or a size is below 1.
        """
        items = Items.rows(iterable)
        options = _MapOptions(timeout, chunksize, buffersize, unordered, progress)
        return self._map(fn, items, options)

    def _map(self, fn: _Function, items: Items, options: _MapOptions) -> Iterator[Any]:
        self._bridge.check_open()
        options.check()
        size_max = 0
        if options.buffersize is not None:  # all workers shall have some of it
            size_max = max(1, options.buffersize // (4 * max(1, self._bridge.workers)))
        plan = MapPlan(as_function(fn), items.arity, options.chunksize, size_max)
        mapping = Mapping(
            self._bridge,
            plan,
            items,
            buffersize=options.buffersize,
            collector=Collector(
                is_single=options.chunksize == 1, unordered=options.unordered, raw=self._raw
            ),
            timeout=options.timeout,
            progress=Progress(options.progress),
        )
        return mapping.results()

    # -- the end -----------------------------------------------------------------------------------

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as in the standard library
        """Takes no more calls, and ends everything when those under way have ended.

        Args:
            wait: return when that is so.
            cancel_futures: stop what is under way, too.
        """
        self._release.detach()
        self._bridge.shut_down(cancel=cancel_futures)
        if wait:
            self._bridge.wait_closed()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for what is under way; after Ctrl-C stops it, since it may never end."""
        self.shutdown(cancel_futures=kind is not None and not issubclass(kind, Exception))

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        if self._bridge.is_closing:
            return "<midas_mp.Executor, shut down>"
        workers = self._bridge.workers
        plural = "" if workers == 1 else "s"
        return f"<midas_mp.Executor on {self._where}, {workers} worker{plural}>"


def _site(
    address: str | None, workers: int | None, memory: int | str | None, sandbox_level_max: int
) -> Site:
    if address is not None and workers is not None:
        raise UsageError("max_workers is for this machine; at an address the host has workers")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise UsageError(f"max_workers must be a whole number of 1 or more, not {workers!r}")
    return Site(
        Address.parse(address) if address is not None else None,
        workers,
        _memory_bytes(memory) or None,
        sandbox_level_max,
    )


def _spec(timeout: float | str | None, memory: int | str | None, seed: int, lua: str) -> JobSpec:
    return JobSpec(
        engine=parse_engine(lua),
        seed=seed,
        timeout_s=0.0 if timeout is None else parse_duration(_plain(timeout)),
        memory_bytes=_memory_bytes(memory),
    )


def _memory_bytes(memory: int | str | None) -> int:
    return 0 if memory is None else parse_size(_plain(memory))


def _plain(said: float | str) -> str:
    """A number in plain digits."""
    return f"{said:.9f}" if isinstance(said, float) else str(said)


def _print(_index: int, worker: str, text: bytes) -> None:
    """What scripts print, on stderr."""
    shown = text.decode("utf-8", "backslashreplace")
    sys.stderr.write("".join(f"[{worker}] {line}\n" for line in shown.splitlines()))
