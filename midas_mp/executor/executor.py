"""``concurrent.futures`` for Lua: the functions are Lua, everything else is as it is there."""

from __future__ import annotations

import concurrent.futures
import os
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from midas_mp.client.values import Packer
from midas_mp.config import OnError
from midas_mp.executor.bridge import Bridge
from midas_mp.executor.function import LuaFunction, as_function
from midas_mp.executor.future import LuaFuture
from midas_mp.executor.items import Intake, Items
from midas_mp.executor.map_run import MapRun
from midas_mp.executor.options import MapOptions, ScriptOptions, Word, make_site, make_spec
from midas_mp.executor.progress import Progress, Told
from midas_mp.executor.script_run import run_script
from midas_mp.join.access import Access

_Function = LuaFunction | str


class _OwnPacker(threading.local):
    """Each thread that submits packs for itself."""

    def __init__(self) -> None:
        self.packer = Packer()


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
        retries: how often a call that failed is tried again, on another node if there is one.
        raw: every string of Lua comes as bytes.
        sandbox_level_max: of the workers here.
        sandbox_level_min: processes here that the kernel confines less (see ``midas --version``)
            are ended, and calls with them.
        allow: what tasks may use here besides the clock and machine code: ``"read"``,
            ``"read=/data"``, ``"write=/scratch"``.
        deny: what neither calls nor scripts may use, wherever they run: ``"read"``, ``"write"``,
            ``"clock"``, ``"jit"``.
        host_process: the host here has a process of its own.  For programs in which other threads
            compute in Python: there a map of calls of a millisecond is 2 to 4 times as fast, while
            a single call waits for the interpreter's lock as ever.  Where no thread computes, a
            single call takes half as long again.
        token: lets us in at the address, as ``midas token new --for clients`` prints it on the
            host's machine; or a ``midas_mp.Access`` with certificates too.  None is what the
            variable MIDAS_TOKEN says; a host of this user at 127.0.0.1 needs none.

    Raises:
        UsageError: an option makes no sense, or the address asks for a token.
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
        retries: int = 0,
        raw: bool = False,
        sandbox_level_max: int = 3,
        sandbox_level_min: int = 0,
        allow: Collection[str] = (),
        deny: Collection[str] = (),
        host_process: bool = False,
        token: str | Access | None = None,
    ) -> None:
        site = make_site(
            address,
            max_workers,
            memory,
            sandbox_level_max,
            host_process=host_process,
            token=token,
            allow=allow,
            deny=deny,
            sandbox_level_min=sandbox_level_min,
        )
        spec = make_spec(timeout, memory, seed, lua, retries, deny=deny)
        self._spec = spec
        self._raw = raw
        self._site = site
        self._own = _OwnPacker()
        self._bridge = Bridge(site, spec, "midas executor")
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
        options = MapOptions(timeout, chunksize, buffersize, unordered, progress)
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
        options = MapOptions(timeout, chunksize, buffersize, unordered, progress)
        return self._map(fn, items, options)

    def _map(self, fn: _Function, items: Items, options: MapOptions) -> Iterator[Any]:
        self._bridge.check_open()
        plan = options.plan(as_function(fn), items.arity, self._bridge.workers)
        run = MapRun(
            self._bridge,
            plan,
            Intake(items, options.buffersize),
            options.collector(raw=self._raw),
            timeout=options.timeout,
            progress=Progress(options.progress),
        )
        return run.results()

    # -- scripts -----------------------------------------------------------------------------------

    def run(
        self,
        script_path: str | os.PathLike[str],
        /,
        *args: Word,
        tasks: int | str | None = None,
        arg: Mapping[str, Word] | None = None,
        on_error: OnError | None = None,
        modules: Iterable[str] = (),
        journal: str | os.PathLike[str] | None = None,
        allow_write: Iterable[str | os.PathLike[str]] = (),
        progress: Told | bool = False,
    ) -> str | bytes | float | None:
        """Runs a script of three functions; what ``interpret_results`` returns.

        What the script prints goes to stderr, and what there is to say of it to the logger
        ``midas_mp``.  What the executor was not told (timeout, memory, lua) and what is not said
        here is as the script's ``config`` says.

        Args:
            script_path: of the script.
            args: what the script reads as ``arg[1]``, ``arg[2]`` …
            tasks: how many, or ``"4x"`` for four for each worker; None is one for each.
            arg: what the script reads as ``arg.name``.
            on_error: ``"stop"`` at the first task that fails, or ``"continue"`` without it.
            modules: to ship beside those that literal requires name.
            journal: file in which each result is recorded before it counts; where it exists, the
                script goes on from there.
            allow_write: folders below which its own functions may write, besides the working
                directory.
            progress: called with how many tasks of the round are done, and of how many; True
                draws a bar.

        Raises:
            ScriptError: the script failed.
            UsageError: there is no such script, or an option makes no sense.
            JournalRefused, JournalFailed: the journal is another script's, or damaged.
            BrokenCluster: the workers went away.
            ExecutorClosed: after ``shutdown``.
        """
        told = Progress(progress)
        options = ScriptOptions(args, tasks, arg, on_error, modules, journal, allow_write)
        plan = options.plan(script_path, self._spec)
        return run_script(self._bridge, plan, told, raw=self._raw)

    # -- standing still ----------------------------------------------------------------------------

    def pause(self) -> None:
        """Has all calls, maps and scripts of this executor stand still, in the middle of whatever
        they are at, and what begins later too, until ``resume`` or ``shutdown``.

        Time limits stand still with them; workers that are at none of it are free for others at the
        host.  It returns at once; workers stop when they hear of it.

        Raises:
            ExecutorClosed: after ``shutdown``.
        """
        self._bridge.pause(is_paused=True)

    def resume(self) -> None:
        """Lets go on what ``pause`` stopped, or ``midas pause`` from outside.

        Raises:
            ExecutorClosed: after ``shutdown``.
        """
        self._bridge.pause(is_paused=False)

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
        state = "shut down" if self._bridge.is_closing else self._bridge.calls.state
        return f"<midas_mp.Executor on {self._site}, {state}>"
