"""Tasks in hand that were cancelled: stopped where that is worth the life of a process.

A kill costs a new process, and whatever others had under way in its hands is computed again.  So
a task that has not begun is let be until it has, and one that should be over in a moment gets that
moment; its result is then dropped by the host.
"""

from __future__ import annotations

from typing import Final

from midas_mp.participant.call_watch import CallInProgress, CallWatch
from midas_mp.participant.seat import Seat

GRACE_S: Final = 0.05
"""About what a kill costs: 10 ms until it is sure, a fork, the job's bundles compiled anew."""


class UnwantedTasks(CallWatch):
    """Looks at the pages of one node's processes, as long as one has such a task in hand."""

    @property
    def _interval_s(self) -> float:
        return GRACE_S

    def _is_concerned(self, seat: Seat) -> bool:
        return seat.has_unwanted

    def _look_at(self, call: CallInProgress) -> None:
        if call.seat.is_unwanted(call.task) and _is_worth_it(call):
            call.process.stop_call(call.running)


def _is_worth_it(call: CallInProgress) -> bool:
    """Whether it takes longer than a kill, by what is known or by what is seen."""
    is_long = call.process.is_paused or call.seat.expected_us(call.task.job) > GRACE_S * 1e6
    return is_long or call.spent_s > GRACE_S
