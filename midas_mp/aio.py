"""Lua functions for programs on asyncio: no thread, no futures of another kind.

async with midas_mp.aio.Client() as client:
    four = await client.submit("function(x) return x * x end", 2)
    async for result in client.map("function(x) return x * x end", range(1000)):
        ...
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from midas_mp.client.values import Packer, Payload, unpack
from midas_mp.config import OnError
from midas_mp.driver.job import Answer
from midas_mp.errors import MidasError
from midas_mp.executor.broken import ExecutorClosed, as_broken
from midas_mp.executor.calls import FunctionCalls
from midas_mp.executor.feed import Arrival, Feed
from midas_mp.executor.function import LuaFunction, as_function
from midas_mp.executor.items import Intake, Items
from midas_mp.executor.options import MapOptions, ScriptOptions, Word, make_site, make_spec
from midas_mp.executor.printing import Printer
from midas_mp.executor.progress import Progress, Told
from midas_mp.executor.scripts import ScriptNews, Scripts, answer_value
from midas_mp.executor.workplace import Workplace, open_workplace
from midas_mp.join.access import Access

__all__ = ["Client"]


class AsyncClient:
    """Calls Lua functions on workers of this machine or of a standing host.

    Use it with ``async with``, in one event loop.  For its arguments see ``midas_mp.Executor``.
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
        self._site = make_site(
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
        self._spec = make_spec(timeout, memory, seed, lua, retries, deny=deny)
        self._raw = raw
        self._packer = Packer()
        self._printer = Printer()
        self._workplace: Workplace | None = None
        self._calls: FunctionCalls | None = None
        self._scripts: Scripts | None = None

    async def __aenter__(self) -> Self:
        """Starts the workers, or connects.

        Raises:
            HostUnreachable: nobody answers at the address.
            PeerRefused: the host does not want us.
            ProcessLost: no process can be started here.
        """
        self._workplace = await open_workplace(self._site, self._lost)
        self._scripts = Scripts(self._workplace, self._site, self._printer.print_of_script)
        self._calls = FunctionCalls(
            self._workplace.client,
            "midas client",
            self._spec,
            self._printer.print_of_call,
            workers=self._site.workers_expected,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stops what is under way, and ends all processes; idempotent."""
        calls, self._calls = self._calls, None
        scripts, self._scripts = self._scripts, None
        workplace, self._workplace = self._workplace, None
        if calls is not None:
            calls.cancel_all()
            calls.close(ExecutorClosed("the client was closed"))
        if scripts is not None:
            scripts.lose(ExecutorClosed("the client was closed"))
            await scripts.wait_idle()
        if workplace is not None:
            await workplace.close()

    async def submit(self, fn: LuaFunction | str, /, *args: Any) -> Any:
        """Calls a Lua function; what it returns.  Cancelling the await stops the call.

        Raises:
            TypeError: that is no Lua function.
            UnsendableValue: an argument is no value of Lua; says which and where.
            ScriptError: the function failed.
            BrokenCluster: the cluster was lost.
            ExecutorClosed: the client is not open.
        """
        calls = self._open_calls()
        function = as_function(fn)
        payload = self._packer.arguments(args)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        number = calls.call(function, payload, _Awaited(answer, function, raw=self._raw))
        try:
            return await answer
        except asyncio.CancelledError:
            calls.cancel_call(number)
            raise

    def map(
        self,
        fn: LuaFunction | str,
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        unordered: bool = False,
        progress: Told | bool = False,
    ) -> AsyncGenerator[Any, None]:
        """Calls a Lua function with one argument from each iterable; gives what the calls return.

        It begins with the first result that is asked for; closing it stops the rest.  For the
        arguments see ``Executor.map``.
        """
        options = MapOptions(timeout, chunksize, buffersize, unordered, progress)
        return self._map(fn, Items.parallel(iterables), options)

    def starmap(
        self,
        fn: LuaFunction | str,
        iterable: Iterable[Sequence[Any]],
        /,
        *,
        timeout: float | None = None,
        chunksize: int | None = None,
        buffersize: int | None = None,
        unordered: bool = False,
        progress: Told | bool = False,
    ) -> AsyncGenerator[Any, None]:
        """As ``map``, over rows that hold all arguments of a call."""
        options = MapOptions(timeout, chunksize, buffersize, unordered, progress)
        return self._map(fn, Items.rows(iterable), options)

    def _map(
        self, fn: LuaFunction | str, items: Items, options: MapOptions
    ) -> AsyncGenerator[Any, None]:
        calls = self._open_calls()
        plan = options.plan(as_function(fn), items.arity, calls.workers)
        mapping = _AsyncMapping(items, options, raw=self._raw)
        return mapping.results(lambda: Feed(calls, plan, mapping.arrived))

    async def run(
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

        Cancelling the await stops it.  For the arguments, and what it raises, see
        ``Executor.run``.
        """
        if self._scripts is None:
            raise _not_open()
        self._printer.called()
        bar = Progress(progress)
        options = ScriptOptions(args, tasks, arg, on_error, modules, journal, allow_write)
        plan = options.plan(script_path, self._spec)
        news: asyncio.Queue[ScriptNews] = asyncio.Queue()
        script = self._scripts.begin(plan, news.put_nowait)
        try:
            while True:
                told = await news.get()
                if isinstance(told, MidasError):
                    raise told from told.__cause__
                if isinstance(told, Answer):
                    return answer_value(told, raw=self._raw)
                bar.advanced(*told)
        finally:
            script.cancel()
            bar.close()

    def pause(self) -> None:
        """As ``Executor.pause``: everything stands still until ``resume`` or ``close``.

        Raises:
            ExecutorClosed: the client is not open.
        """
        self._pause(is_paused=True)

    def resume(self) -> None:
        """Lets go on what ``pause`` stopped, or ``midas pause`` from outside.

        Raises:
            ExecutorClosed: the client is not open.
        """
        self._pause(is_paused=False)

    def _pause(self, *, is_paused: bool) -> None:
        if self._workplace is None:
            raise _not_open()
        self._workplace.client.pause(is_paused=is_paused)

    def _open_calls(self) -> FunctionCalls:
        """For a call that is made now."""
        if self._calls is None:
            raise _not_open()
        self._printer.called()
        return self._calls

    def _lost(self, error: MidasError) -> None:
        if self._calls is not None:
            self._calls.job_lost(error)
        if self._scripts is not None:
            self._scripts.lose(error)

    def __repr__(self) -> str:
        state = "not open" if self._calls is None else self._calls.state
        return f"<midas_mp.aio.Client on {self._site}, {state}>"


Client: Final = AsyncClient
"""The name for users; within, the client of a host has it."""


def _not_open() -> ExecutorClosed:
    return ExecutorClosed("the client is not open: use it with 'async with'")


class _Awaited:
    """A call that somebody awaits; the receiver of its result."""

    __slots__ = ("_answer", "_function", "_raw")

    def __init__(self, answer: asyncio.Future[Any], function: LuaFunction, *, raw: bool) -> None:
        self._answer = answer
        self._function = function
        self._raw = raw

    def finish(self, payload: Payload) -> None:
        try:
            value = unpack(payload, raw=self._raw)
        except MidasError as error:
            self.fail(error)
            return
        if not self._answer.done():
            self._answer.set_result(value)

    def fail(self, error: MidasError) -> None:
        if not self._answer.done():
            self._answer.set_exception(self._function.explained(as_broken(error)))

    def cancel(self) -> None:
        self.fail(ExecutorClosed("the client was closed"))


class _AsyncMapping:
    """One map, on the side of its reader; see ``executor.map_run`` for the one with threads."""

    def __init__(self, items: Items, options: MapOptions, *, raw: bool) -> None:
        self._intake = Intake(items, options.buffersize)
        self._collector = options.collector(raw=raw)
        self._timeout_s = options.timeout
        self._progress = Progress(options.progress)
        self._changed = asyncio.Event()

    def arrived(self, arrivals: list[Arrival] | Exception) -> None:
        self._collector.take(arrivals)
        self._changed.set()

    async def results(self, begin: Callable[[], Feed]) -> AsyncGenerator[Any, None]:
        """What the calls return; the feed begins with the first that is asked for."""
        collector, intake = self._collector, self._intake
        loop = asyncio.get_running_loop()
        ends_s = None if self._timeout_s is None else loop.time() + self._timeout_s
        values = intake.take(0, is_waiting=True)
        feed = begin()
        try:
            while True:
                if values is not None:
                    feed.add(values, is_last=intake.is_exhausted)
                for results in collector.ready():
                    for result in results:
                        yield result
                self._progress.advanced(collector.given, intake.total)
                if collector.given == intake.total:
                    return
                values = intake.take(collector.given, is_waiting=True)
                if values is None:
                    await self._wait(ends_s)
        except MidasError as error:
            raise as_broken(error) from error.__cause__
        finally:
            feed.stop()
            self._progress.close()

    async def _wait(self, ends_s: float | None) -> None:
        """Until more has arrived.

        Raises:
            TimeoutError: nothing came in time.
        """
        async with asyncio.timeout_at(ends_s):
            await self._changed.wait()
        self._changed.clear()
