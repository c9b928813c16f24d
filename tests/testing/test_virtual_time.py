"""Time that jumps."""

from __future__ import annotations

import asyncio

import pytest

from midas_mp.testing.virtual_time import Deadlock, Livelock, VirtualTimeLoop


def test_a_year_of_waiting_is_over_at_once(play, loop):
    async def main() -> float:
        await asyncio.sleep(365 * 86_400)
        return loop.time()

    assert play(main()) == pytest.approx(365 * 86_400)


def test_timers_go_off_in_the_order_of_their_times(play, loop):
    seen: list[tuple[float, int]] = []

    async def main() -> None:
        for delay_s in (3, 1, 2):
            loop.call_later(delay_s, lambda delay_s=delay_s: seen.append((loop.time(), delay_s)))
        await asyncio.sleep(4)

    play(main())
    assert [delay_s for _, delay_s in seen] == [1, 2, 3]
    assert all(at >= delay_s for at, delay_s in seen)


def test_time_stands_still_while_something_runs(play, loop):
    async def main() -> float:
        for _ in range(1_000):
            await asyncio.sleep(0)
        return loop.time()

    assert play(main()) == 0


def test_a_timer_is_never_early_by_a_rounding_error(play, loop):
    async def main() -> None:
        for number in range(1, 2_000):
            due = loop.time() + number * 0.1
            await asyncio.sleep(due - loop.time())
            assert loop.time() >= due

    play(main())


def test_waiting_for_what_can_never_come_is_noticed_at_once():
    loop = VirtualTimeLoop()
    never = loop.create_future()
    with pytest.raises(Deadlock):
        loop.run_until_complete(never)
    loop.close()


def test_turning_for_ever_at_one_moment_is_noticed():
    loop = VirtualTimeLoop()

    def again() -> None:
        loop.call_soon(again)

    again()
    with pytest.raises(Livelock, match=r"still 0\.000"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_time_outs_work(play):
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.Event().wait()

    play(main())
