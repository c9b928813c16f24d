"""The zygote in its parent's loop: starts Lua processes, looks at their deadlines, ends them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Final

from midas_mp.blobs.pool import TRIM_INTERVAL_S
from midas_mp.blobs.upkeep import Upkeep
from midas_mp.errors import ProcessLost
from midas_mp.participant.child import ChildExit
from midas_mp.participant.process import LuaProcess, ProcessListener
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import ChildSpec

WATCH_INTERVAL_S: Final = 0.05
"""How often deadlines are looked at; a task may overrun its limit by this much."""


class Supervisor:
    """Holds the zygote in the loop and starts Lua processes through it."""

    def __init__(self, zygote: Zygote, *, zygote_lost: Callable[[ProcessLost], None]) -> None:
        self._zygote = zygote
        self._zygote_lost = zygote_lost
        self._processes: dict[LuaProcess, None] = {}  # a set has no order to rely on
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(zygote.fileno(), self._dispatch)
        self._watch_timer: asyncio.TimerHandle | None = None
        self._upkeep = Upkeep()
        self._idle_timer = self._loop.call_later(TRIM_INTERVAL_S, self._tell_idle)
        self._is_lost = False
        """The zygote is gone, and that was told."""
        self._is_closed = False

    def start(self, spec: ChildSpec, listener: ProcessListener) -> LuaProcess:
        """Forks a process; it says WorkerReady when it is confined, and may be sent to then.

        Raises:
            ProcessLost: the zygote is gone.
        """
        if self._is_closed:
            raise ProcessLost("this node is closing")
        process = LuaProcess(spec.name, listener, self)
        try:
            process.child = self._zygote.spawn(spec, process.exited)
        except ProcessLost:
            self._dispatch()  # if it is the zygote, who lives by it hears of that first
            raise
        self._processes[process] = None
        self._loop.add_reader(process.child.output_fd, process.output_ready)
        process.attaching = self._loop.create_task(process.attach())
        return process

    def signal(self, process: LuaProcess, signum: int) -> None:
        if process.child is not None and not process.has_exited:
            # a lost zygote is told by dispatch, and took its children along
            with contextlib.suppress(ProcessLost):
                self._zygote.signal(process.child, signum)

    def hold(self, process: LuaProcess) -> None:
        """It stands still until it is released."""
        if process.child is not None and not process.has_exited:
            with contextlib.suppress(ProcessLost):
                self._zygote.hold(process.child)

    def release(self, process: LuaProcess) -> None:
        if process.child is not None and not process.has_exited:
            with contextlib.suppress(ProcessLost):
                self._zygote.release(process.child)

    def still_ns_since(self, process: LuaProcess, moment_ns: int) -> int:
        """How long a process has been made to stand still since then."""
        assert process.child is not None
        return self._zygote.paused_ns_since(process.child, moment_ns)

    def forget(self, process: LuaProcess) -> None:
        self._processes.pop(process, None)

    def watch(self) -> None:
        """Looks at deadlines from now on, while there is one to look at."""
        if self._watch_timer is None and not self._is_closed:
            self._watch_timer = self._loop.call_later(WATCH_INTERVAL_S, self._look)

    def close(self) -> None:
        """Kills every process and the zygote; idempotent, bounded."""
        if self._is_closed:
            return
        self._is_closed = True
        self._idle_timer.cancel()
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        self._loop.remove_reader(self._zygote.fileno())
        self._zygote.close()
        for process in list(self._processes):
            process.abandon()
        self._processes.clear()
        self._upkeep.close()

    def _dispatch(self) -> None:
        if self._is_lost:
            return
        try:
            self._zygote.dispatch()
        except ProcessLost as error:
            self._is_lost = True
            self._loop.remove_reader(self._zygote.fileno())
            if not self._is_closed:
                self._zygote_lost(error)
                for process in [p for p in self._processes if not p.has_exited]:
                    # the kernel killed it with the zygote, which can no longer say so
                    process.exited(ChildExit(process.name, 0, None, signal.SIGKILL, 0))

    def _look(self) -> None:
        self._watch_timer = None
        now_ns = time.monotonic_ns()
        if sum(process.check_deadline(now_ns) for process in self._processes):
            self.watch()

    def _tell_idle(self) -> None:
        for process in self._processes:
            process.tell_idle()
        self._idle_timer = self._loop.call_later(TRIM_INTERVAL_S, self._tell_idle)
