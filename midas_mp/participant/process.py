"""One Lua process as its parent sees it: its frames, its output, its deadline, its end.

The launcher has one for each worker, the driver one for its script process.  The parent's loop
does all the watching, since nothing inside a Lua process can stop Lua: the page that both map
tells what runs and since when, signals go through the zygote.

    parent loop ── frames ──▶ socket ──▶ process          (the process blocks in recv)
                ◀─ frames ─── socket ◀── process
                ◀─ records ── pipe   ◀── trusted Lua library: prints, progress
                   reads      page   ◀── what runs, since when; stderr
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from midas_mp.blobs.exchange import ParentBlobs
from midas_mp.errors import MidasError, ProtocolError
from midas_mp.lua.output import OutputParser, Printed, Progressed
from midas_mp.participant import vital_signs
from midas_mp.participant.child import Child, ChildExit
from midas_mp.participant.releases import idle, releases, take_releases
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.unsent_results import UnsentResult
from midas_mp.participant.vital_signs import VitalSigns
from midas_mp.transport.link import Link
from midas_mp.transport.stream import attach
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import ResultsStored, ScriptLoaded, WorkerReady
from midas_mp.wire.messages import Role, TaskResults

if TYPE_CHECKING:
    from midas_mp.participant.supervisor import Supervisor

STOP_SETTLE_S: Final = 0.01
"""From SIGSTOP to the second look at the page: the signal goes through the zygote."""

LAST_LINES_MAX: Final = 10
LAST_CHARS_MAX: Final = 2_000
"""Of a stderr, where a task is told to have killed its worker."""

PIPE_READ_BYTES: Final = 256 * 1024


class ProcessEnd:
    """How a process ended, and what it left.

    Attributes:
        exit: what the kernel says.
        running: what its page said it was running, None when idle or killed on purpose.
        overdue: the task that it was killed for, when it overran its deadline.
        last_words: its stderr.
    """

    def __init__(
        self,
        end: ChildExit,
        running: RunningTask | None,
        overdue: RunningTask | None,
        last_words: str,
    ) -> None:
        self.exit = end
        self.running = running
        self.overdue = overdue
        self.last_words = last_words

    @property
    def cause(self) -> str:
        """``killed by SIGKILL``, or ``exit code 1: PANIC …``: one line."""
        words = self.last_words.strip().splitlines()
        return f"{self.exit}: {words[-1]}" if words else str(self.exit)

    @property
    def last_lines(self) -> str:
        """The end of its stderr, as much as a person may want to read."""
        return "\n".join(self.last_words.strip().splitlines()[-LAST_LINES_MAX:])[-LAST_CHARS_MAX:]


class ProcessListener(Protocol):
    """Who is told."""

    def process_frames(self, process: LuaProcess, frames: list[Frame]) -> None: ...

    def process_output(
        self, process: LuaProcess, records: Sequence[Printed | Progressed]
    ) -> None: ...

    def process_ended(self, process: LuaProcess, end: ProcessEnd) -> None: ...


class _Suspect(NamedTuple):
    """A call that the process is stopped for, to be killed if it is still at it."""

    running: RunningTask
    is_overdue: bool


class LuaProcess:
    """A forked, confined process with one thread and its Lua states.

    Also the ``Receiver`` of its own link.
    """

    def __init__(self, name: str, listener: ProcessListener, supervisor: Supervisor) -> None:
        self.name = name
        self.link: Link | None = None
        self.child: Child | None = None
        self.deadline_s = 0.0
        """Bound of each call; 0 is none."""
        self.killed_on_purpose = False
        self.is_paused = False
        self.attaching: asyncio.Task[None] | None = None
        self._listener = listener
        self._supervisor = supervisor
        self._parser = OutputParser()
        self._exit: ChildExit | None = None
        self._link_is_lost = False
        self._is_over = False
        self._pid = 0
        """As it says when it is ready, before it has seen any script."""
        self._frozen = ""
        """Why it was put away."""
        self._overdue: RunningTask | None = None
        self._suspect: _Suspect | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def _blobs(self) -> ParentBlobs | None:
        return self.child.blobs if self.child is not None else None

    @property
    def has_exited(self) -> bool:
        return self._exit is not None

    async def attach(self) -> None:
        """Listens to what the process says."""
        assert self.child is not None
        conversation = Conversation(Role.LAUNCHER, Role.WORKER)
        self.link = await attach(
            self.child.socket, self, conversation, name=self.name, blobs=self.child.blobs
        )

    def send(self, frames: Sequence[Frame]) -> None:
        if self.link is not None:
            self.link.send([*releases(self._blobs), *frames])

    def tell_idle(self) -> None:
        """Says what is not read any more, and that what lies idle shall be given back."""
        frames = idle(self._blobs)
        if frames and self.link is not None:
            self.link.send(frames)

    def running(self) -> RunningTask | None:
        """What its page says now."""
        return self.child.page.read() if self.child is not None else None

    def unsent(self, first: int, running: RunningTask) -> list[UnsentResult]:
        """What it has finished and not sent, from its first call that is not answered to the
        running one; none where that is not known.

        What those calls printed is delivered by then.
        """
        if self.child is None:
            return []
        self._read_pipe_nowait(reads_max=1)
        return self.child.page.read_unsent(first, running)

    def take_back(self, serial: int) -> None:
        """Of its calls up to that one it shall begin none any more."""
        if self.child is not None:
            self.child.page.take_back(serial)

    def kill(self) -> None:
        """SIGKILL on purpose: whatever it runs is not to blame."""
        self.killed_on_purpose = True
        self._supervisor.signal(self, signal.SIGKILL)

    def vital_signs(self) -> VitalSigns | None:
        """What the kernel says of it; None where it says nothing, and before it is ready."""
        return vital_signs.read(self._pid) if self._pid else None

    def put_away(self, why: str, *, is_blameless: bool) -> None:
        """SIGKILL because it stands still, or somebody wants it; it has no last words but these.

        Args:
            why: what its end is said to be of.
            is_blameless: as by ``kill``; else what it runs may be the cause.
        """
        self._frozen = why
        self.killed_on_purpose = is_blameless
        self._supervisor.signal(self, signal.SIGKILL)

    def pause(self) -> None:
        """It stands still, its deadline too, until it is resumed."""
        self.is_paused = True
        self._supervisor.hold(self)

    def resume(self) -> None:
        self.is_paused = False
        self._supervisor.release(self)

    def time_spent_ns(self, running: RunningTask, now_ns: int) -> int:
        """Since the call began, without the time in which it was made to stand still."""
        began_ns = running.started_ns
        return now_ns - began_ns - self._supervisor.still_ns_since(self, began_ns)

    def stop_call(self, running: RunningTask) -> None:
        """As ``kill``, unless the process is done with that call by then."""
        self._suspect_of(running, is_overdue=False)

    def limit(self, deadline_s: float) -> None:
        """Each call from now on may take so long; 0 is for ever."""
        self.deadline_s = deadline_s
        if deadline_s:
            self._supervisor.watch()

    # -- frames and output ---------------------------------------------------------------------

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            message = frame.message
            if isinstance(message, TaskResults):
                self._deliver_output(message.output_bytes)
            elif isinstance(message, ScriptLoaded | ResultsStored):
                self._read_pipe_nowait()
            elif isinstance(message, WorkerReady):
                self._pid = message.pid
        try:
            theirs = take_releases(self._blobs, frames)
            if theirs:
                self._listener.process_frames(self, theirs)
        except ProtocolError:
            # only a process that broke out of Lua answers what it was not asked
            link.abort()

    def link_lost(self, _link: Link, _error: MidasError | None) -> None:
        self._link_is_lost = True
        if self._exit is None and not self._is_over:
            # a process that closed or garbled its socket but still runs is of no use
            self._supervisor.signal(self, signal.SIGKILL)
        self._conclude()

    def exited(self, end: ChildExit) -> None:
        self._exit = end
        self._conclude()

    def output_ready(self) -> None:
        self._read_pipe_nowait(reads_max=1)

    def pause_output(self) -> None:
        """Leaves what is printed from now on in the pipe; a script that fills it waits."""
        if self.child is not None and not self._is_over:
            self._loop.remove_reader(self.child.output_fd)

    def resume_output(self) -> None:
        if self.child is not None and not self._is_over:
            self._loop.add_reader(self.child.output_fd, self.output_ready)

    def _deliver_output(self, total_bytes: int) -> None:
        """Hands on what the process printed before it sent this result.

        The process wrote those bytes before it sent, so they are in the pipe and no read blocks.
        """
        while self._parser.bytes_consumed < total_bytes and self._read_pipe_nowait(reads_max=1):
            pass

    def _read_pipe_nowait(self, *, reads_max: int = 1_000) -> bool:
        """Reads what is in the pipe; False when there was nothing more."""
        if self.child is None:
            return False
        for _ in range(reads_max):
            try:
                data = os.read(self.child.output_fd, PIPE_READ_BYTES)
            except (BlockingIOError, OSError):
                return False
            if not data:
                self._loop.remove_reader(self.child.output_fd)
                return False
            try:
                records = self._parser.feed(data)
            except ProtocolError:
                # only a process that broke out of Lua can write garbage here
                self._loop.remove_reader(self.child.output_fd)
                self._supervisor.signal(self, signal.SIGKILL)
                return False
            if records:
                self._listener.process_output(self, records)
        return True

    # -- deadline --------------------------------------------------------------------------------

    def check_deadline(self, now_ns: int) -> bool:
        """Whether there is a deadline to look at again."""
        if not self.deadline_s or self.has_exited or self._overdue is not None:
            return False
        running = self.running()
        if running is not None and self.time_spent_ns(running, now_ns) > self.deadline_s * 1e9:
            self._suspect_of(running, is_overdue=True)
        return True

    def _suspect_of(self, running: RunningTask, *, is_overdue: bool) -> None:
        """Stops it first and looks again: the call may be over between the look and the signal."""
        if self._suspect is None and not self.has_exited:
            self._suspect = _Suspect(running, is_overdue)
            self._supervisor.signal(self, signal.SIGSTOP)
            self._loop.call_later(STOP_SETTLE_S, self._judge)

    def _judge(self) -> None:
        suspect, self._suspect = self._suspect, None
        if suspect is None or self.has_exited or self._is_over:
            return
        running = self.running()
        if running is not None and running.serial == suspect.running.serial:
            if suspect.is_overdue:
                self._overdue = running
            self.kill()
        else:
            self._supervisor.signal(self, signal.SIGCONT)

    # -- end -------------------------------------------------------------------------------------

    def _conclude(self) -> None:
        """Tells the listener once both the exit and the end of the frames are known.

        Results that were sent before the end still count, so the frames come first.
        """
        if self._exit is None or not self._link_is_lost or self._is_over or self.child is None:
            return
        self._is_over = True
        self._read_pipe_nowait()
        running = None if self.killed_on_purpose else self.child.page.read()
        last_words = self._frozen or self.child.page.last_words()
        end = ProcessEnd(self._exit, running, self._overdue, last_words)
        self._release()
        self._supervisor.forget(self)
        self._listener.process_ended(self, end)

    def abandon(self) -> None:
        """The supervisor closes: free what the parent holds, tell nobody."""
        self._is_over = True
        self._release()

    def _release(self) -> None:
        if self.link is not None:
            self.link.abort()
        if self.child is None:
            return
        child = self.child
        self._loop.remove_reader(child.output_fd)
        if self.attaching is None or self.attaching.done():
            child.close()
        else:
            # libuv aborts the whole process when a descriptor that it is just taking over is
            # closed behind its back
            self.attaching.cancel()
            self.attaching.add_done_callback(lambda _: child.close())
