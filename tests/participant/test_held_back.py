"""A call that takes long holds back neither what is finished nor what has not begun."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    CancelTasks,
    RecallTasks,
    SharedData,
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


async def measured(n: Node, host: HostSide) -> int:
    """Until the job's tasks are known as short; the next index."""
    index = 0
    while n.launcher._crew._seats[1].expected_us("job") > 300:
        host.submit(1, {index: "x"})
        index += 1
        await host.results(index)
    return index


def returned(host: HostSide) -> set[int]:
    return {ref.index for message in host.heard(TasksReturned) for ref in message.tasks}


def test_one_worker_delivers_what_is_finished_and_gives_the_rest_back(
    run: Callable, node: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            first = await measured(n, host)
            host.submit(1, {first + i: "for ever" if i == 3 else str(i) for i in range(7)})
            done = await host.results(first + 3)
            assert [done[first + i] for i in range(3)] == [("OK", str(i)) for i in range(3)]
            await host.until(lambda: len(returned(host)) == 3)
            assert returned(host) == {first + 4, first + 5, first + 6}
            seat = n.launcher._crew._seats[1]
            assert seat.held() == [TaskRef("job", 0, first + 3)]
            # what the host gives it again waits where it can be recalled
            host.submit(1, {first + 4: "again", first + 5: "and again"})
            host.say(RecallTasks(1), channel=1)
            await host.until(lambda: len(host.heard(TasksReturned)) == 2)
            assert host.heard(TasksReturned)[1].tasks == [TaskRef("job", 0, first + 5)]
            # and is run by the process that takes the place of this one
            host.say(CancelTasks("job", 0, [first + 3]), channel=1)
            await host.hear(WorkerDown)
            await host.hear(WorkerUp, 2)
            host.submit(1, {first + 4: "again"})
            done = await host.results(first + 4)
            assert done[first + 4] == ("OK", "again")
            await eventually(lambda: not n.launcher._crew._held_back.is_watching)

    run(main())


def test_a_call_that_ends_after_all_is_answered_once_and_what_was_returned_may_come_again(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            first = await measured(n, host)
            tasks = {first + i: 1.0 if i == 2 else str(i) for i in range(6)}
            host.submit(1, tasks)
            await host.until(lambda: len(returned(host)) == 3)
            again = {index: tasks[index] for index in sorted(returned(host))}
            host.submit(1, again)
            done = await host.results(first + 6)  # which sees to it that none comes twice
            assert {i: done[i] for i in tasks} == {i: ("OK", value) for i, value in tasks.items()}
            assert host.heard(WorkerDown) == []

    run(main())


def test_a_frame_that_waits_in_the_socket_is_given_back_too(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            first = await measured(n, host)
            count = 500
            host.submit(1, {first + i: "for ever" if i == 2 else "x" for i in range(256)})
            host.submit(1, {first + i: "x" for i in range(256, count)})
            await host.printed(b"looping")
            host.say(RecallTasks(count), channel=1)
            await host.until(lambda: len(returned(host)) == count - 3)
            await host.results(first + 2)
            assert n.launcher._crew._seats[1].held() == [TaskRef("job", 0, first + 2)]

    run(main())


def test_a_killed_worker_loses_nothing_that_was_delivered_early_and_names_its_task(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            first = await measured(n, host)
            host.submit(1, {first: "a", first + 1: "b", first + 2: "for ever", first + 3: "c"})
            await host.until(lambda: returned(host) == {first + 3})
            await host.results(first + 2)
            os.kill(n.worker().pid, signal.SIGKILL)
            (down,) = await host.hear(WorkerDown)
            assert down.running == TaskRef("job", 0, first + 2)
            await host.hear(WorkerUp, 2)
            host.submit(1, {first + 3: "c"})
            done = await host.results(first + 3)
            assert done[first + 3] == ("OK", "c")

    run(main())


def test_prints_come_before_the_results_that_were_taken_early(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            first = await measured(n, host)
            host.submit(1, {first: 0, first + 1: "for ever"})
            await host.results(first + 1)
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


def test_where_data_is_shared_only_calls_are_given_back(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            first = await measured(n, host)
            seat = n.launcher._crew._seats[1]
            host.submit(1, {first: "a"})
            await host.results(first + 1)
            process = n.worker()
            share(n)
            host.submit(1, {first + 1: "b", first + 2: 0.3, first + 3: "c"})
            await host.until(lambda: returned(host) == {first + 3})
            assert seat.held() == [TaskRef("job", 0, first + 1), TaskRef("job", 0, first + 2)]
            done = await host.results(first + 3)
            assert [done[first + 1], done[first + 2]] == [("OK", "b"), ("OK", 0.3)]
            assert n.worker() == process

    run(main())


def share(n: Node) -> None:
    """Data of round 0 for the process, as if the job had offered some."""
    process = n.launcher._crew._seats[1].process
    process.send([Frame(0, SharedData("job", 0), [b"\x81\xa1x\x01"])])


def test_a_process_that_returns_what_nobody_asked_back_is_ended(
    run: Callable, node: Callable
) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
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


def test_who_has_one_call_in_hand_is_not_looked_at(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin(JOB)
            host.submit(1, {0: "for ever", 1: "x"})
            await host.printed(b"looping")
            assert not n.launcher._crew._held_back.is_watching

    run(main())
