"""Tasks that run long are named, again and again, so that nobody takes a long one for a hang."""

from __future__ import annotations

from collections.abc import Callable, Collection

from midas_mp import limits
from midas_mp.participant.call_watch import CallInProgress, CallWatch
from midas_mp.participant.seat import Seat
from midas_mp.wire.messages import TaskRef


class LongTasks(CallWatch):
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
        super().__init__(seats)
        self._tell = tell

    @property
    def _interval_s(self) -> float:
        return limits.RUNNING_NOTICE_S

    def _is_concerned(self, seat: Seat) -> bool:
        return seat.is_busy

    def _look_at(self, call: CallInProgress) -> None:
        spent_s = call.spent_s
        if spent_s > limits.RUNNING_NOTICE_S:
            self._tell(call.seat, call.task, spent_s)
