"""Tasks that run long are named, again and again, so that nobody takes a long one for a hang."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from midas_mp import limits
from midas_mp.participant.seat import Seat
from midas_mp.participant.watch import Watch
from midas_mp.wire.messages import TaskRef

NS_PER_S: Final = 1e9


class LongTasks(Watch):
    """Looks at the pages of one node's processes now and then, while they have anything to do.

    Args:
        seats: of the processes.
        tell: told of each that runs for longer than ``limits.RUNNING_NOTICE_S``, and its seconds.
    """

    def __init__(
        self,
        seats: Collection[Seat],
        *,
        tell: Callable[[Seat, TaskRef, float], None],
    ) -> None:
        super().__init__()
        self._seats = seats
        self._tell = tell

    @property
    def _interval_s(self) -> float:
        return limits.RUNNING_NOTICE_S

    def _look(self) -> bool:
        now_ns = int(self._loop.time() * NS_PER_S)
        for seat in self._seats:
            self._look_at(seat, now_ns)
        return any(seat.is_busy for seat in self._seats)

    def _look_at(self, seat: Seat, now_ns: int) -> None:
        if seat.process is None or not seat.is_alive:
            return
        running = seat.process.running()
        found = seat.task_of(running)
        if running is None or found is None:
            return
        elapsed_s = seat.process.time_spent_ns(running, now_ns) / NS_PER_S
        if elapsed_s > limits.RUNNING_NOTICE_S:
            order, call = found
            self._tell(seat, TaskRef(order.job, order.round, call.index), elapsed_s)
