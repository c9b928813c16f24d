"""Who is looked at, and what is seen: the running calls of processes that are alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp.participant.call_watch import NS_PER_S, CallInProgress, CallWatch
from midas_mp.participant.seat import Seat
from midas_mp.participant.status_page import RunningTask
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Call, RunTasks, TaskRef


class Process:
    """As far as it is looked at; its page says what it is told to say."""

    def __init__(self, seat: Seat, running: RunningTask | None, still_s: float = 0.0) -> None:
        self.killed_on_purpose = False
        self._running = running
        self._still_ns = int(still_s * NS_PER_S)
        seat.process = self

    def running(self) -> RunningTask | None:
        return self._running

    def time_spent_ns(self, running: RunningTask, now_ns: int) -> int:
        return now_ns - running.started_ns - self._still_ns


class Sights(CallWatch):
    """Looks at whoever has something in hand, and remembers what it sees."""

    def __init__(self, *seats: Seat) -> None:
        super().__init__(seats)
        self.seen: list[CallInProgress] = []

    @property
    def _interval_s(self) -> float:
        return 2.0

    def _is_concerned(self, seat: Seat) -> bool:
        return seat.is_busy

    def _look_at(self, call: CallInProgress) -> None:
        self.seen.append(call)


def busy(channel: int, index: int) -> Seat:
    """A seat with one task in hand."""
    seat = Seat(channel)
    order = RunTasks("job", 3, 1000, "0" * 64, "execute_code", [Call(index)])
    seat.enqueue(Frame(channel, order, [b""]))
    assert len(list(seat.next_batches())) == 1
    return seat


def now_ns() -> int:
    return int(asyncio.get_running_loop().time() * NS_PER_S)


def test_it_sees_which_task_runs_where_and_for_how_long(run_by_its_own_clock: Callable) -> None:
    async def main() -> None:
        seats = [busy(1, 7), busy(2, 8)]
        running = [RunningTask(1, 3, 7, now_ns()), RunningTask(1, 3, 8, now_ns())]
        processes = [Process(seats[0], running[0]), Process(seats[1], running[1], still_s=0.5)]
        watch = Sights(*seats)
        watch.watch()
        await asyncio.sleep(3)
        assert [(call.seat, call.process, call.running) for call in watch.seen] == [
            *zip(seats, processes, running, strict=True)
        ]
        assert [call.task for call in watch.seen] == [TaskRef("job", 3, 7), TaskRef("job", 3, 8)]
        assert [call.spent_s for call in watch.seen] == pytest.approx([2, 1.5])
        watch.stop()

    run_by_its_own_clock(main())


def test_who_is_at_nothing_known_is_passed_over_and_looked_at_again(
    run_by_its_own_clock: Callable,
) -> None:
    async def main() -> None:
        seats = [busy(channel, 7) for channel in (1, 2, 3, 4)]
        Process(seats[1], running=None)
        Process(seats[2], RunningTask(9, 3, 7, now_ns()))
        Process(seats[3], RunningTask(1, 3, 7, now_ns())).killed_on_purpose = True
        watch = Sights(*seats)
        watch.watch()
        await asyncio.sleep(3)
        assert watch.seen == []
        assert watch.is_watching
        watch.stop()

    run_by_its_own_clock(main())


def test_it_ends_with_the_last_who_is_of_interest(run_by_its_own_clock: Callable) -> None:
    async def main() -> None:
        seat = busy(1, 7)
        Process(seat, RunningTask(1, 3, 7, now_ns()))
        watch = Sights(seat, Seat(2))
        watch.watch()
        await asyncio.sleep(3)
        seat.vacate()
        await asyncio.sleep(3)
        assert len(watch.seen) == 1
        assert not watch.is_watching

    run_by_its_own_clock(main())
