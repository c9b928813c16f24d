"""A process that stood still notices it, and one that is merely idle does not."""

from __future__ import annotations

import asyncio

import pytest

from midas_mp import limits
from midas_mp.transport.gap import GapWatch


def stand_still(seconds: float) -> None:
    """Time goes by, and nothing is run meanwhile."""
    asyncio.get_running_loop()._clock.now_s += seconds


def test_a_gap_is_told_once_and_as_long_as_it_was(run_by_its_own_clock):
    async def main():
        gaps: list[float] = []
        watch = GapWatch(gaps.append)
        await asyncio.sleep(1_000)
        assert gaps == []
        stand_still(100)
        await asyncio.sleep(1_000)
        assert gaps == [pytest.approx(100, abs=limits.LOOK_INTERVAL_S)]
        watch.close()

    run_by_its_own_clock(main())


def test_a_little_late_is_no_gap(run_by_its_own_clock):
    async def main():
        gaps: list[float] = []
        watch = GapWatch(gaps.append)
        for _ in range(100):
            stand_still(limits.LOOK_INTERVAL_S)
            await asyncio.sleep(limits.LOOK_INTERVAL_S)
        assert gaps == []
        watch.close()

    run_by_its_own_clock(main())


def test_who_is_told_comes_before_what_was_due_meanwhile(run_by_its_own_clock):
    async def main():
        loop = asyncio.get_running_loop()
        giving_up = loop.call_later(60, lambda: pytest.fail("gave up"))
        watch = GapWatch(lambda _: giving_up.cancel())
        await asyncio.sleep(1)
        stand_still(3_600)
        await asyncio.sleep(1_000)
        watch.close()

    run_by_its_own_clock(main())


def test_closed_it_looks_no_more(run_by_its_own_clock):
    async def main():
        watch = GapWatch(lambda _: pytest.fail("it looked"))
        watch.close()
        stand_still(100)
        await asyncio.sleep(100)
        watch.close()

    run_by_its_own_clock(main())
