"""Workers that stand still in the middle of work: noticed, killed, replaced.

Whether a worker lives is told by what the kernel says of it, never by whether it answers: a task
may compute for days.  One that has something to do, is not waiting for a processor, and has had no
processor time since so many looks stands still.  If somebody has stopped it, its task is not to
blame; else it may be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from midas_mp import limits
from midas_mp.participant.seat import Seat
from midas_mp.participant.vital_signs import RUNNABLE, STOPPED, VitalSigns
from midas_mp.participant.watch import Watch

START_LOOKS_MAX: Final = 20
"""A process that is not ready by then never will be; a busy machine takes seconds."""


class FrozenWorkers(Watch):
    """Looks at the workers of one node, as long as one of them has anything to do.

    Args:
        seats: of the processes.
        is_holding: whether their output is left in the pipes, so that they may have to wait.
    """

    def __init__(self, seats: Collection[Seat], *, is_holding: Callable[[], bool]) -> None:
        super().__init__()
        self._seats = seats
        self._is_holding = is_holding
        self._signs: dict[Seat, VitalSigns] = {}
        """When they were last looked at."""
        self._still_looks: dict[Seat, int] = {}
        """For how many looks each has stood still."""

    @property
    def _interval_s(self) -> float:
        return limits.HEARTBEAT_INTERVAL_S

    def _look(self) -> bool:
        was_absent = self._loop.time() - self._due_s > limits.HEARTBEAT_INTERVAL_S
        if was_absent or self._is_holding():
            self._still_looks.clear()
        at_work = [seat for seat in self._seats if _is_at_work(seat)]
        for seat in at_work:
            self._look_at(seat)
        self._signs = {seat: self._signs[seat] for seat in at_work if seat in self._signs}
        return bool(at_work)

    def _look_at(self, seat: Seat) -> None:
        assert seat.process is not None
        signs = seat.process.vital_signs()
        before = self._signs.pop(seat, None)
        if signs is not None:
            self._signs[seat] = signs
        if seat.ready is not None and _is_alive(signs, before):
            self._still_looks.pop(seat, None)
            return
        looks = self._still_looks[seat] = self._still_looks.get(seat, 0) + 1
        seconds = looks * limits.HEARTBEAT_INTERVAL_S
        if seat.ready is None:
            if looks >= START_LOOKS_MAX:
                self._put_away(seat, f"it was not ready after {seconds:g} s", is_blameless=True)
        elif looks >= limits.SILENT_BEATS_MAX:
            assert signs is not None
            if signs.state in STOPPED:
                why = f"somebody had stopped it for {seconds:g} s"
                self._put_away(seat, why, is_blameless=True)
            else:
                why = f"it had stood still for {seconds:g} s (state {signs.state})"
                self._put_away(seat, why, is_blameless=False)

    def _put_away(self, seat: Seat, why: str, *, is_blameless: bool) -> None:
        del self._still_looks[seat]
        assert seat.process is not None
        seat.process.put_away(why, is_blameless=is_blameless)


def _is_alive(signs: VitalSigns | None, before: VitalSigns | None) -> bool:
    """As far as is known."""
    if signs is None or before is None:
        return True
    return signs.cpu_ticks != before.cpu_ticks or signs.state == RUNNABLE


def _is_at_work(seat: Seat) -> bool:
    """Whether it should be doing something: a task, or getting ready."""
    if seat.process is None or seat.process.is_paused:
        return False
    return seat.is_alive and (seat.is_busy or seat.ready is None)
