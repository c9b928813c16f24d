"""Cancelled tasks in hand: the running one is killed, the others are let be."""

from __future__ import annotations

from collections.abc import Callable

from midas_mp.participant.unwanted_tasks import GRACE_S
from midas_mp.wire.messages import (
    CancelTasks,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)

JOB = """
function execute_code()
  print(global_data)
  while global_data == "for ever" do end
  local until_when = os.clock() + (tonumber(global_data) or 0)
  while os.clock() < until_when do end
  return global_data
end
"""


def test_an_endless_task_costs_its_process_and_nobody_else(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB, workers=2) as (n, host):
            other = n.worker("laptop-001").pid
            host.submit(1, {0: "for ever", 1: "a", 2: "b"})
            await host.printed(b"for ever")
            host.say(CancelTasks("job", 0, [0, 2, 77]), channel=1)
            (returned,) = await host.hear(TasksReturned)
            assert returned.tasks == [TaskRef("job", 0, 2)]
            (down,) = await host.hear(WorkerDown)
            assert (down.channel, down.running) == (1, None), "nobody is to blame"
            await host.hear(WorkerUp, 3)
            host.submit(1, {1: "a"})
            host.submit(2, {3: "c"})
            assert await host.results(2) == {1: ("OK", "a"), 3: ("OK", "c")}
            assert n.worker("laptop-001").pid == other
            assert not n.launcher._crew._seats[1].has_unwanted

    run(main())


def test_what_has_not_begun_is_let_be_until_it_has(
    run: Callable, at_work: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            host.submit(1, {first: 0.3, first + 1: "for ever", first + 2: "y"})
            await host.printed(b"0.3")
            assert len(n.launcher._crew._seats[1].held()) == 3, "all of them are in hand"
            host.say(CancelTasks("job", 0, [first + 1]), channel=1)
            (down,) = await host.hear(WorkerDown)
            printed = [bytes(f.buffers[0]) for f in host.frames if f.buffers]
            assert b"for ever" in printed, "the one before it was not disturbed"
            assert down.running is None

    run(main())


def test_a_task_that_is_over_in_a_moment_gets_it(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            host.submit(1, {0: GRACE_S / 10})
            await host.results(1)
            pid = n.worker().pid
            for index in range(1, 20):
                host.submit(1, {index: GRACE_S / 10})
                host.say(CancelTasks("job", 0, [index]), channel=1)
                await host.until(
                    lambda: len(host.heard(TaskResults)) + len(host.heard(TasksReturned)) > index  # noqa: B023 - awaited in the same turn
                )
            assert n.worker().pid == pid
            assert host.heard(WorkerDown) == []

    run(main())


def test_the_watch_ends_with_the_last_of_them(
    run: Callable, at_work: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            unwanted = n.launcher._crew._unwanted_tasks
            host.say(CancelTasks("job", 0, [5]), channel=1)
            host.submit(1, {0: "for ever"})
            await host.printed(b"for ever")
            assert not unwanted.is_watching
            host.say(CancelTasks("job", 0, [0]), channel=1)
            await host.hear(WorkerDown)
            await eventually(lambda: not unwanted.is_watching)
            n.launcher.leave("enough")
            unwanted.watch_at_once()
            assert not unwanted.is_watching, "for good"

    run(main())


def test_what_is_cancelled_is_stopped_without_a_host_too(
    run: Callable, at_work: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            first = await n.measure_short_tasks(host)
            host.submit(1, {first: 0.2, first + 1: "for ever"})
            await host.printed(b"0.2")
            host.say(CancelTasks("job", 0, [first + 1]), channel=1)
            await eventually(lambda: n.launcher._crew._seats[1].has_unwanted)
            host.link.abort()
            await host.lost
            second = n.meet()
            (up,) = await second.welcome(epoch=1)
            if up.held:
                await second.hear(WorkerDown)
            else:
                assert up.epoch == 1, "it was stopped before the next host came"

    run(main())
