"""What a long call holds back: results of calls before it, and calls behind it.

A process answers short calls many at a time and has the next ones in its socket already, and
nobody can tell that one of them will take for ever.  While it runs the process can neither send
what is finished nor return what has not begun, so its parent does both: see ``hand`` and
``unsent_results``.  What is taken back goes to the host, which gives it to whoever is free.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from midas_mp.participant.call_watch import CallInProgress, CallWatch
from midas_mp.participant.seat import Seat
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskRef

LONG_S: Final = 0.05
"""A call that runs for so long holds something back; much longer than a frame should take, and what
was asked back has long been seen when this has passed once more."""


class HeldBack(CallWatch):
    """Looks at the pages of one node's processes, as long as one has several calls in hand.

    Args:
        seats: of the processes.
        deliver: told of results that were taken early.
        give_back: told of tasks that were taken back.
    """

    def __init__(
        self,
        seats: Collection[Seat],
        *,
        deliver: Callable[[Seat, Frame], None],
        give_back: Callable[[int, Sequence[TaskRef]], None],
    ) -> None:
        super().__init__(seats)
        self._deliver = deliver
        self._give_back = give_back

    @property
    def _interval_s(self) -> float:
        return LONG_S

    def _is_concerned(self, seat: Seat) -> bool:
        return seat.has_several_in_hand

    def _look_at(self, call: CallInProgress) -> None:
        seat, running = call.seat, call.running
        taken_back = seat.take_back(running)
        if taken_back:
            self._give_back(seat.channel, taken_back)
        if call.spent_s > LONG_S:
            early = seat.take_early(running)
            if early is not None:
                self._deliver(seat, early)
            seat.ask_back(running)
