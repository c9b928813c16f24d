"""A node that is to begin nothing more ends when all that ran there is over, and no sooner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midas_mp.participant.drain import Drain
from midas_mp.participant.seat import Seat


class Node:
    """Two seats, and whether anything is left to do on them."""

    def __init__(self) -> None:
        self.seats = [Seat(1), Seat(2)]
        self.handed_back: list[Seat] = []
        self.is_done = False
        self.drain = Drain(
            self.seats, hand_back=self.handed_back.append, is_over=lambda: self.is_done
        )


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_what_has_not_begun_is_handed_back_and_the_rest_is_waited_for(run: Callable) -> None:
    async def main() -> None:
        node = Node()
        node.drain.look()
        assert (node.drain.is_on, node.handed_back) == (False, [])
        draining = asyncio.ensure_future(node.drain.run())
        await turns()
        assert node.drain.is_on
        assert node.handed_back == node.seats
        node.drain.look()
        await turns()
        assert not draining.done()
        node.is_done = True
        node.drain.look()
        node.drain.look()
        await draining

    run(main())


def test_where_nothing_runs_it_is_over_at_once_and_stays_on(run: Callable) -> None:
    async def main() -> None:
        node = Node()
        node.is_done = True
        await node.drain.run()
        assert node.drain.is_on

    run(main())


def test_who_was_told_before_that_it_is_over_need_not_be_told(run: Callable) -> None:
    """Only its own look counts: what was over before it began may have begun again."""

    async def main() -> None:
        node = Node()
        node.is_done = True
        node.drain.look()
        node.is_done = False
        draining = asyncio.ensure_future(node.drain.run())
        await turns()
        assert not draining.done()
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        node.is_done = True
        node.drain.look()

    run(main())
