"""Between the threads of a program and the loop in which its calls live.

    user threads ── post ──▶ LoopThread: Workplace, FunctionCalls, Feeds, Scripts
                 ◀─ futures, queues ──

An executor holds a bridge; the bridge never holds the executor, so that a forgotten executor can
be collected.  However the program ends, no process stays: ``close`` is called at exit, and the
kernel does the rest where even that is not reached.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any, Final

from midas_mp.client.values import Payload
from midas_mp.errors import MidasError
from midas_mp.executor.broken import ExecutorClosed
from midas_mp.executor.calls import FunctionCalls
from midas_mp.executor.feed import Arrived, Feed, MapPlan
from midas_mp.executor.function import LuaFunction
from midas_mp.executor.future import LuaFuture
from midas_mp.executor.loop_thread import LoopThread
from midas_mp.executor.printing import Printer
from midas_mp.executor.scripts import ScriptPlan, Scripts, TellScript
from midas_mp.executor.workplace import Workplace, WorkplaceSpec, open_workplace
from midas_mp.wire.messages import JobSpec

EXIT_TIMEOUT_S: Final = 5.0
"""For an orderly end when the program exits; then the kernel ends what is left."""

HOLD_S: Final = 0.002
"""Results of a map wake its reader no more often: a tenth of what short tasks cost was waking."""

_SHUT_DOWN: Final = "the executor was shut down"

_open_bridges: weakref.WeakSet[Bridge] = weakref.WeakSet()


class Bridge:
    """One workplace and its calls, in a thread.

    Raises:
        MidasError: the workplace cannot be opened.
    """

    def __init__(self, site: WorkplaceSpec, spec: JobSpec, title: str) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_closing = False
        self._printer = Printer()
        self._ending: asyncio.Task[None] | None = None
        self._lazy_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()
        self._workplace: Workplace
        self._scripts: Scripts
        self.calls: FunctionCalls
        self._thread = LoopThread(title)
        try:
            self._thread.start(self._open(site, spec, title)).result()
        except BaseException:
            self._thread.stop()
            raise
        _open_bridges.add(self)

    async def _open(self, site: WorkplaceSpec, spec: JobSpec, title: str) -> None:
        self._workplace = await open_workplace(site, self._lost)
        client, printer = self._workplace.client, self._printer
        self._scripts = Scripts(self._workplace, site, printer.print_of_script)
        self.calls = FunctionCalls(
            client, title, spec, printer.print_of_call, workers=site.workers_expected
        )

    def _lost(self, error: MidasError) -> None:
        self.calls.job_lost(error)
        self._scripts.lose(error)

    # -- from any thread ---------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raises:
        ExecutorClosed: it was shut down, or this is a process forked from its own.
        """
        self._check_process()
        if self._is_closing:
            raise ExecutorClosed("cannot schedule new calls after shutdown")

    def _check_process(self) -> None:
        """Before the lock is asked for: it may have been held when this process was forked."""
        if self._pid != os.getpid():
            raise ExecutorClosed("an executor does not survive a fork: make one in this process")

    def call(self, future: LuaFuture, function: LuaFunction, payload: Payload) -> None:
        """Begins the call of a future.

        Raises:
            ExecutorClosed: see ``check_open``.
        """
        self._check_process()
        with self._lock:  # else a shutdown might slip in between
            self.check_open()
            self._printer.called()
            self._thread.post(self._begin, future, function, payload)

    def cancel(self, future: LuaFuture) -> None:
        """Stops the call of a future that is cancelled already."""
        if self._pid == os.getpid():
            self._thread.post(self._stop_call, future)

    def begin_feed(
        self, plan: MapPlan, values: Sequence[Any], arrived: Arrived, *, is_last: bool
    ) -> BridgedFeed:
        """Begins a map with its items, or the first of them.

        Raises:
            ExecutorClosed: see ``check_open``.
        """
        self._check_process()
        with self._lock:
            self.check_open()
            feed = BridgedFeed(self._thread)
            self._printer.called()
            self._thread.post(self._begin_feed, feed, plan, values, arrived, is_last)
        return feed

    def begin_script(self, plan: ScriptPlan, tell: TellScript) -> BridgedScript:
        """Begins a script; ``tell`` is called in the loop's thread.

        Raises:
            ExecutorClosed: see ``check_open``.
        """
        self._check_process()
        with self._lock:
            self.check_open()
            script = BridgedScript(self._thread)
            self._printer.called()
            self._thread.post(self._begin_script, script, plan, tell)
        return script

    def pause(self, *, is_paused: bool) -> None:
        """Has everything stand still, or go on.

        Raises:
            ExecutorClosed: see ``check_open``.
        """
        self._check_process()
        with self._lock:
            self.check_open()
            self._thread.post(self._pause, is_paused)

    def shut_down(self, *, cancel: bool) -> None:
        """Ends the thread and all it holds, when what is under way has ended, or at once."""
        if self._pid != os.getpid():  # as in check_process
            self._is_closing = True
            return
        with self._lock:
            self._is_closing = True
        self._thread.post(self._begin_ending, cancel)

    def wait_closed(self, timeout_s: float | None = None) -> None:
        """After ``shut_down``: until nothing is left of it."""
        if self._pid == os.getpid():
            self._thread.join(timeout_s)

    @property
    def workers(self) -> int:
        return self.calls.workers

    @property
    def is_closing(self) -> bool:
        return self._is_closing

    # -- in the loop -------------------------------------------------------------------------------

    def _begin(self, future: LuaFuture, function: LuaFunction, payload: Payload) -> None:
        if not future.cancelled():
            future.number = self.calls.call(function, payload, future)

    def _stop_call(self, future: LuaFuture) -> None:
        if future.number is not None:
            self.calls.cancel_call(future.number)

    def _begin_feed(
        self,
        bridged: BridgedFeed,
        plan: MapPlan,
        values: Sequence[Any],
        arrived: Arrived,
        is_last: bool,  # noqa: FBT001 - passed on by post
    ) -> None:
        # one that is fed as its results are read waits for them
        bridged.feed = Feed(self.calls, plan, arrived, hold_s=HOLD_S if is_last else 0.0)
        bridged.feed.add(values, is_last=is_last)
        if not is_last:
            self._lazy_feeds.add(bridged.feed)

    def _begin_script(self, bridged: BridgedScript, plan: ScriptPlan, tell: TellScript) -> None:
        bridged.task = self._scripts.begin(plan, tell)

    def _pause(self, is_paused: bool) -> None:  # noqa: FBT001 - passed on by post
        self._workplace.client.pause(is_paused=is_paused)

    def _begin_ending(self, cancel: bool) -> None:  # noqa: FBT001 - as above
        if self._workplace.client.is_paused:  # what is under way could not end
            self._workplace.client.pause(is_paused=False)
        if cancel:
            self.calls.cancel_all()
            self.calls.close(ExecutorClosed(_SHUT_DOWN))
            self._scripts.lose(ExecutorClosed(_SHUT_DOWN))
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        for feed in self._lazy_feeds:
            feed.add((), is_last=True)  # nobody can give it more
        try:
            await self.calls.wait_idle()
            await self._scripts.wait_idle()
        finally:
            self.calls.close(ExecutorClosed(_SHUT_DOWN))
            await self._workplace.close()
            self._thread.stop()


class BridgedFeed:
    """A feed as another thread holds it."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self.feed: Feed | None = None

    def add(self, values: Sequence[Any], *, is_last: bool) -> None:
        self._thread.post(self._add, values, is_last)

    def stop(self) -> None:
        self._thread.post(self._stop)

    def _add(self, values: Sequence[Any], is_last: bool) -> None:  # noqa: FBT001 - as above
        if self.feed is not None:
            self.feed.add(values, is_last=is_last)

    def _stop(self) -> None:
        if self.feed is not None:
            self.feed.stop()


class BridgedScript:
    """A script under way as another thread holds it."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Idempotent, also after its end."""
        self._thread.post(self._stop)

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()


@atexit.register
def _close_all() -> None:
    """What a program forgot to shut down does not keep it from ending."""
    bridges = list(_open_bridges)
    for bridge in bridges:
        bridge.shut_down(cancel=True)
    for bridge in bridges:
        with contextlib.suppress(RuntimeError):
            bridge.wait_closed(EXIT_TIMEOUT_S)
