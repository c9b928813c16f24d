"""Tasks in hand that were cancelled: stopped where that is worth the life of a process.

A kill costs a new process, and whatever others had under way in its hands is computed again.  So
a task that has not begun is let be until it has, and one that should be over in a moment gets that
moment; its result is then dropped by the host.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from midas_mp.participant.seat import Seat
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.watch import Watch
from midas_mp.wire.messages import TaskRef

GRACE_S: Final = 0.05
"""About what a kill costs: 10 ms until it is sure, a fork, the job's bundles compiled anew."""

NS_PER_S: Final = 1e9


class UnwantedTasks(Watch):
    """Looks at the pages of one node's processes, as long as one has such a task in hand.

    Args:
        seats: of the processes.
    """

    def __init__(self, seats: Collection[Seat]) -> None:
        super().__init__()
        self._seats = seats

    @property
    def _interval_s(self) -> float:
        return GRACE_S

    def _look(self) -> bool:
        concerned = [seat for seat in self._seats if seat.has_unwanted]
        now_ns = int(self._loop.time() * NS_PER_S)
        for seat in concerned:
            self._look_at(seat, now_ns)
        return bool(concerned)

    def _look_at(self, seat: Seat, now_ns: int) -> None:
        if seat.process is None or not seat.is_alive:
            return
        running = seat.process.running()
        found = seat.task_of(running)
        if running is None or found is None:
            return
        order, call = found
        is_unwanted = seat.is_unwanted(TaskRef(order.job, order.round, call.index))
        if is_unwanted and self._is_worth_it(seat, order.job, running, now_ns):
            seat.process.stop_call(running)

    def _is_worth_it(self, seat: Seat, job: str, running: RunningTask, now_ns: int) -> bool:
        """Whether it takes longer than a kill, by what is known or by what is seen."""
        assert seat.process is not None
        is_long = seat.process.is_paused or seat.expected_us(job) > GRACE_S * 1e6
        return is_long or seat.process.time_spent_ns(running, now_ns) > GRACE_S * NS_PER_S
