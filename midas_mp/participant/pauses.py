"""Workers that stand still because somebody said so, in the middle of whatever they are at.

A worker that is to stand still itself does so once it is ready; one that is at a task of a paused
job does so for as long as it is.  What waits behind it is handed back, so that others can have it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from midas_mp.participant.seat import Seat


class Pauses:
    """Those of one node, by what its host says.

    Args:
        seats: of the node.
        hand_back: gives back all that has not begun there.
        resumed: told when a worker goes on.
    """

    def __init__(
        self,
        seats: Collection[Seat],
        *,
        hand_back: Callable[[Seat], None],
        resumed: Callable[[], None],
    ) -> None:
        self._seats = seats
        self._hand_back = hand_back
        self._resumed = resumed
        self._jobs: set[str] = set()
        self._paused: set[Seat] = set()

    def pause_job(self, job: str, *, is_paused: bool) -> None:
        if is_paused:
            self._jobs.add(job)
            for seat in self._seats:
                self._hand_back(seat)
        else:
            self._jobs.discard(job)
        self._settle_all()

    def pause_worker(self, seat: Seat, *, is_paused: bool) -> None:
        if is_paused:
            self._paused.add(seat)
            self._hand_back(seat)
        else:
            self._paused.discard(seat)
        self.settle(seat)

    def forget_job(self, job: str) -> None:
        """It has ended."""
        if job in self._jobs:
            self.pause_job(job, is_paused=False)

    def forget(self) -> None:
        """Another host: it says itself what is paused."""
        self._jobs.clear()
        self._paused.clear()
        self._settle_all()

    def vacated(self, seat: Seat) -> None:
        """The worker is gone; what becomes of the next one its host will say."""
        self._paused.discard(seat)

    def settle(self, seat: Seat) -> bool:
        """Stops a worker, or lets it go on, as it has to be now; whether it stands still.

        To be called whenever what it has in hand has changed.
        """
        process = seat.process
        if (
            process is None
            or seat.ready is None
            or not (self._jobs or self._paused or process.is_paused)
        ):
            return False
        is_still = seat in self._paused or any(map(seat.has_in_hand, self._jobs))
        if is_still and not process.is_paused:
            process.pause()
        elif process.is_paused and not is_still:
            process.resume()
            self._resumed()
        return is_still

    def _settle_all(self) -> None:
        for seat in self._seats:
            self.settle(seat)
