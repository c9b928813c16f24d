"""A call that takes long holds back neither what is finished nor what has not begun."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from midas_mp import limits
from midas_mp.participant import held_back
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import SharedData
from midas_mp.wire.messages import (
    CancelTasks,
    RecallTasks,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)

if TYPE_CHECKING:
    from tests.participant.conftest import HostSide, Node

JOB = """
function execute_code()
  local x = global_data
  if x == "for ever" then print("looping") while true do end end
  if type(x) == "number" then
    print("busy")
    local stop = os.clock() + x
    repeat until os.clock() >= stop
  end
  return x
end
"""


@pytest.fixture(autouse=True)
def soon(nothing_comes_back_unasked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "LONG_S", 0.05)


def returned(host: HostSide) -> list[int]:
    return [ref.index for message in host.heard(TasksReturned) for ref in message.tasks]


async def give(host: HostSide, tasks: dict[int, object], until: Callable[[], bool]) -> None:
    """As a host does: what comes back is given again.  On a busy machine any call may take long."""
    seen = len(returned(host))
    due = list(tasks)
    while due or not until():
        for start in range(0, len(due), limits.TASKS_PER_FRAME_MAX):
            some = due[start : start + limits.TASKS_PER_FRAME_MAX]
            host.submit(1, {index: tasks[index] for index in some})
        await host.until(lambda known=seen: until() or len(returned(host)) > known)
        due = [index for index in returned(host)[seen:] if index in tasks]
        seen = len(returned(host))


def test_one_worker_delivers_what_is_finished_and_gives_the_rest_back(
    run: Callable, at_work: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            seat = n.launcher._crew._seats[1]
            tasks = {first + i: "for ever" if i == 3 else str(i) for i in range(7)}
            behind = {first + 4, first + 5, first + 6}
            await give(
                host,
                tasks,
                lambda: behind <= set(returned(host)) and len(host.outcomes()) == first + 3,
            )
            done = host.outcomes()
            assert [done[first + i] for i in range(3)] == [("OK", str(i)) for i in range(3)]
            assert seat.held() == [TaskRef("job", 0, first + 3)]
            # what is given to it meanwhile waits where it can be recalled
            await give(host, {first + 7: "more"}, lambda: True)
            host.say(RecallTasks(9), channel=1)
            await host.until(lambda: first + 7 in returned(host))
            assert seat.held() == [TaskRef("job", 0, first + 3)]
            # and the process that takes the place of this one does it
            host.say(CancelTasks("job", 0, [first + 3]), channel=1)
            await host.hear(WorkerDown)
            await host.hear(WorkerUp, 2)
            rest = {index: tasks[index] for index in behind}
            await give(host, rest, lambda: len(host.outcomes()) == first + 6)
            assert {index: host.outcomes()[index][1] for index in behind} == rest
            await eventually(lambda: not n.launcher._crew._held_back.is_watching)

    run(main())


def test_a_call_that_ends_after_all_is_answered_once_and_what_was_returned_may_come_again(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            tasks = {first + i: 0.5 if i == 2 else str(i) for i in range(6)}
            # outcomes() sees to it that none comes twice
            await give(host, tasks, lambda: len(host.outcomes()) == first + 6)
            done = host.outcomes()
            assert {i: done[i] for i in tasks} == {i: ("OK", value) for i, value in tasks.items()}
            assert set(returned(host)) >= {first + 3, first + 4, first + 5}
            assert host.heard(WorkerDown) == []

    run(main())


def test_a_frame_that_waits_in_the_socket_is_given_back_too(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            seat, last = n.launcher._crew._seats[1], first + 2
            tasks = {first + i: "for ever" if i == 2 else "x" for i in range(500)}
            await give(
                host,
                tasks,
                lambda: last + 1 in returned(host) and seat.held() == [TaskRef("job", 0, last)],
            )
            await host.results(last)
            host.say(RecallTasks(500), channel=1)
            await host.until(lambda: set(returned(host)) >= tasks.keys() - {*range(last + 1)})
            assert seat.held() == [TaskRef("job", 0, last)]

    run(main())


def test_a_killed_worker_loses_nothing_that_was_delivered_early_and_names_its_task(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            tasks = {first: "a", first + 1: "b", first + 2: "for ever", first + 3: "c"}
            await give(
                host,
                tasks,
                lambda: first + 3 in returned(host) and len(host.outcomes()) == first + 2,
            )
            os.kill(n.worker().pid, signal.SIGKILL)
            (down,) = await host.hear(WorkerDown)
            assert down.running == TaskRef("job", 0, first + 2)
            await host.hear(WorkerUp, 2)
            await give(host, {first + 3: "c"}, lambda: len(host.outcomes()) == first + 3)
            assert host.outcomes()[first + 3] == ("OK", "c")

    run(main())


def test_prints_come_before_the_results_that_were_taken_early(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            tasks = {first: 0, first + 1: "for ever"}
            await give(host, tasks, lambda: len(host.outcomes()) == first + 1)
            kinds = [
                type(frame.message).__name__
                for frame in host.frames
                if getattr(frame.message, "index", None) == first
                or (
                    isinstance(frame.message, TaskResults)
                    and frame.message.outcomes[0].index == first
                )
            ]
            assert kinds == ["TaskPrinted", "TaskResults"]

    run(main())


def test_where_data_is_shared_only_calls_are_given_back(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            process = n.worker()
            share(n)
            tasks = {first: "b", first + 1: "for ever", first + 2: "c"}
            await give(host, tasks, lambda: first + 2 in returned(host))
            held = n.launcher._crew._seats[1].held()
            assert held[-1] == TaskRef("job", 0, first + 1)
            assert (first in host.outcomes()) == (len(held) == 1)
            assert n.worker() == process
            host.say(CancelTasks("job", 0, [first + 1]), channel=1)
            await host.hear(WorkerUp, 2)
            rest = {ref.index: tasks[ref.index] for ref in held[:-1]} | {first + 2: "c"}
            await give(host, rest, lambda: len(host.outcomes()) == first + 2)

    run(main())


def share(n: Node) -> None:
    """Data of round 0 for the process, as if the job had offered some."""
    process = n.launcher._crew._seats[1].process
    process.send([Frame(0, SharedData("job", 0), [b"\x81\xa1x\x01"])])


def test_a_process_that_returns_what_nobody_asked_back_is_ended(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            host.submit(1, {0: "for ever"})
            await host.printed(b"looping")
            process = n.launcher._crew._seats[1].process
            process.frames_received(process.link, [Frame(0, TasksReturned([TaskRef("job", 0, 0)]))])
            await host.hear(WorkerDown)
            await host.hear(WorkerUp, 2)
            host.submit(1, {0: "x"})
            assert (await host.results(1))[0] == ("OK", "x")
            assert host.heard(TasksReturned) == []

    run(main())


def test_who_has_one_call_in_hand_is_not_looked_at(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            host.submit(1, {0: "for ever", 1: "x"})
            await host.printed(b"looping")
            assert not n.launcher._crew._held_back.is_watching

    run(main())
