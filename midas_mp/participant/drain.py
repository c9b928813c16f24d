"""The end of a node that is to finish what runs, and to begin nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from midas_mp.participant.seat import Seat


class Drain:
    """Of one node.

    Args:
        seats: of the node.
        hand_back: gives back all that has not begun there.
        is_over: whether nothing runs any more, and what came of it has been said.

    Attributes:
        is_on: whether nothing more is taken, from some moment on for good.
    """

    def __init__(
        self,
        seats: Collection[Seat],
        *,
        hand_back: Callable[[Seat], None],
        is_over: Callable[[], bool],
    ) -> None:
        self.is_on = False
        self._seats = seats
        self._hand_back = hand_back
        self._is_over = is_over
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Hands back what has not begun, and waits for the end of the rest."""
        self.is_on = True
        for seat in self._seats:
            self._hand_back(seat)
        self.look()
        await self._over

    def look(self) -> None:
        """To be called whenever something has ended, or was said."""
        if self.is_on and not self._over.done() and self._is_over():
            self._over.set_result(None)
