"""A watch looks while there is something to look at, and not a moment longer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midas_mp.participant.watch import Watch


class Looks(Watch):
    """So many looks find something to look at again."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.times: list[float] = []
        self._began_s = self._loop.time()

    @property
    def _interval_s(self) -> float:
        return 2.0

    def _look(self) -> bool:
        self.times.append(round(self._loop.time() - self._began_s, 3))
        return len(self.times) < self.count


def test_it_looks_at_intervals_until_there_is_nothing_left(run_by_its_own_clock: Callable) -> None:
    async def main() -> None:
        looks = Looks(3)
        assert not looks.is_watching
        looks.watch()
        looks.watch()
        await asyncio.sleep(5)
        assert looks.times == [2, 4]
        assert looks.is_watching
        await asyncio.sleep(20)
        assert looks.times == [2, 4, 6]
        assert not looks.is_watching
        looks.watch()
        await asyncio.sleep(20)
        assert looks.times == [2, 4, 6, 27]

    run_by_its_own_clock(main())


def test_the_first_look_may_be_at_once(run_by_its_own_clock: Callable) -> None:
    async def main() -> None:
        looks = Looks(2)
        looks.watch_at_once()
        looks.watch_at_once()
        assert looks.times == [0], "the second time it was watching already"
        await asyncio.sleep(20)
        assert looks.times == [0, 2]

    run_by_its_own_clock(main())


def test_who_is_stopped_never_looks_again(run_by_its_own_clock: Callable) -> None:
    async def main() -> None:
        looks = Looks(9)
        looks.watch()
        looks.stop()
        looks.watch()
        looks.watch_at_once()
        await asyncio.sleep(20)
        assert (looks.times, looks.is_watching) == ([], False)
        looks.stop()

    run_by_its_own_clock(main())
