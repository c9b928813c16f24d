"""What the workers of a node have to say: to the host that listens, else to the next one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from midas_mp import limits
from midas_mp.participant.outbox import Outbox
from midas_mp.participant.seat import Seat
from midas_mp.participant.uplink import Uplink
from midas_mp.permissions import Permissions
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import (
    TaskRef,
    TaskRunning,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)


class Reports:
    """Of one node.

    Args:
        permissions: what its workers are granted.

    Attributes:
        node: the node's name, as the host that listens knows it, or the last one did.
    """

    def __init__(self, permissions: Permissions) -> None:
        self.node = ""
        self._permits = str(permissions)[: limits.PERMITS_CHARACTERS_MAX]
        self._uplink: Uplink | None = None
        """To a host that listens: it has welcomed us and not said that it leaves."""
        self._outbox = Outbox()

    @property
    def kept_count(self) -> int:
        """How many results are kept for a host."""
        return self._outbox.result_count

    @property
    def is_holding(self) -> bool:
        """Whether the output of the workers is to stay in their pipes for now."""
        return self._uplink is not None and self._uplink.is_holding

    def worker(self, seat: Seat) -> str:
        """The name of the worker on a seat."""
        return f"{self.node}-{seat.channel - 1:03d}"

    # -- the host comes and goes -------------------------------------------------------------------

    def turn_to(self, uplink: Uplink, node: str) -> None:
        """Speaks to that host, which calls the node so."""
        self._uplink = uplink
        # It may be another name than before: somebody took ours meanwhile.  Processes keep what
        # they were started with, so in the old ones ``midas.worker`` and ``midas.node`` tell the
        # old name.  That costs nothing: no repeatable script uses them.
        self.node = node

    def lose_host(self) -> None:
        """Nobody listens."""
        self._uplink = None

    @property
    def _host(self) -> Uplink | None:
        """Where what is said now has a chance to be heard."""
        uplink = self._uplink
        return uplink if uplink is not None and uplink.is_heard else None

    # -- said now, or never ----------------------------------------------------------------------

    def say(self, channel: int, message: TasksReturned | WorkerUp | WorkerDown) -> None:
        """The next host learns it from what it is told at its welcome."""
        if self._host is not None:
            self._host.say(channel, message)

    def register(self, seat: Seat) -> None:
        """Introduces a process to the host, if there is one and the process is still of use."""
        if self._host is None or not seat.is_alive:
            return
        seat.is_registered = True
        self.say(CONTROL_CHANNEL, seat.introduction(self.worker(seat), self._permits))

    def give_back(self, channel: int, refs: Sequence[TaskRef]) -> None:
        """In frames that fit their headers, however long the job's id is."""
        at_once = limits.TASKS_PER_FRAME_MAX
        for start in range(0, len(refs) or 1, at_once):
            self.say(channel, TasksReturned(list(refs[start : start + at_once])))

    def hand_back(self, seat: Seat) -> None:
        """Gives back all that has not begun."""
        refs = seat.recall(limits.QUEUE_TASKS_MAX)
        if refs:
            self.give_back(seat.channel, refs)

    def tell_running(self, seat: Seat, task: TaskRef, elapsed_s: float) -> None:
        """Not kept where no host listens: by then there is newer, or the result."""
        host = self._host
        if host is not None and seat.is_registered:
            worker = self.worker(seat)
            host.say(seat.channel, TaskRunning(task.job, task.round, task.index, worker, elapsed_s))

    # -- said now, or later ----------------------------------------------------------------------

    def tell(self, seat: Seat, frames: Sequence[Frame]) -> None:
        """What comes of tasks: to a host that knows the worker, now or later."""
        host = self._host
        if host is not None and seat.is_registered:
            host.tell(frames)
        else:
            self._outbox.keep(frames)

    def deliver(self, seats: Collection[Seat]) -> bool:
        """What was kept of the workers that the host knows now; whether there was anything."""
        host = self._host
        if host is None:
            return False
        kept = self._outbox.take([seat.channel for seat in seats if seat.is_registered])
        if kept:
            host.tell(kept)
        return bool(kept)

    def drop_job(self, job: str) -> None:
        """Nobody wants to hear of this job any more."""
        self._outbox.drop_job(job)
