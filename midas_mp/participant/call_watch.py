"""Looking at the calls that a node's processes are in the middle of, by what their pages say."""

from __future__ import annotations

import abc
from collections.abc import Collection
from typing import Final, NamedTuple

from midas_mp.participant.process import LuaProcess
from midas_mp.participant.seat import Seat
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.watch import Watch
from midas_mp.wire.messages import TaskRef

NS_PER_S: Final = 1e9


class CallInProgress(NamedTuple):
    """As it was a moment ago: the process does not wait for whoever looks."""

    seat: Seat
    process: LuaProcess
    running: RunningTask
    task: TaskRef
    now_ns: int

    @property
    def spent_s(self) -> float:
        """Since it began, without the time in which the process was made to stand still."""
        return self.process.time_spent_ns(self.running, self.now_ns) / NS_PER_S


class CallWatch(Watch):
    """Looks at the pages of one node's processes, as long as one of them is of interest.

    Args:
        seats: of the processes.
    """

    def __init__(self, seats: Collection[Seat]) -> None:
        super().__init__()
        self._seats = seats

    def _look(self) -> bool:
        concerned = [seat for seat in self._seats if self._is_concerned(seat)]
        now_ns = int(self._loop.time() * NS_PER_S)
        for seat in concerned:
            call = _call_of(seat, now_ns)
            if call is not None:
                self._look_at(call)
        return bool(concerned)

    @abc.abstractmethod
    def _is_concerned(self, seat: Seat) -> bool:
        """Whether it is to be looked at, now and the next time."""

    @abc.abstractmethod
    def _look_at(self, call: CallInProgress) -> None:
        """Does what is to be done about it, if anything."""


def _call_of(seat: Seat, now_ns: int) -> CallInProgress | None:
    """What the process of a seat is at; None where nobody alive sits there, or at nothing known."""
    process = seat.process
    if process is None or not seat.is_alive:
        return None
    running = process.running()
    found = seat.task_of(running)
    if running is None or found is None:
        return None
    order, call = found
    task = TaskRef(order.job, order.round, call.index)
    return CallInProgress(seat, process, running, task, now_ns)
