"""Workers that a host, played by the test, tells to stand still; they are real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil

from midas_mp.wire.management import PauseJob, PauseWorker
from midas_mp.wire.messages import CancelTasks, EndJob, TasksReturned, WorkerDown, WorkerUp

BY_NAME = """
local acts = {
  echo = function(x) return x end,
  spin = function(seconds)
    print("spinning")
    local ends = os.clock() + seconds
    while os.clock() < ends do end
    return "spun"
  end,
}
function execute_code()
  local name, x = global_data[1], global_data[2]
  return acts[name](x)
end
"""


def returned(host) -> set[int]:
    return {ref.index for back in host.heard(TasksReturned) for ref in back.tasks}


async def stopped(node, worker: str = "laptop-000") -> None:
    """Waits until the kernel says so; a signal takes its time through the zygote."""
    while node.worker(worker).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.002)


def test_a_worker_stops_in_the_middle_and_goes_on_there(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            host.submit(1, {0: ["spin", 0.2], 1: ["echo", 1]})
            await host.printed(b"spinning")
            host.say(PauseWorker(is_paused=True), channel=1)
            await stopped(n)
            await host.hear(TasksReturned)
            assert returned(host) == {1}, "what waits behind it"
            host.submit(1, {2: ["echo", 2]})
            await host.until(lambda: returned(host) == {1, 2})
            host.say(PauseWorker(is_paused=False), channel=1)
            assert await host.results(1) == {0: ("OK", "spun")}
            host.submit(1, {1: ["echo", 1]})
            assert (await host.results(2))[1] == ("OK", 1)
            assert host.heard(WorkerDown) == []

    run(main())


def test_only_who_is_at_a_paused_job_stands_still(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node(workers=2) as n:
            host = n.meet()
            await host.welcome()
            host.begin(BY_NAME, "other")
            host.begin(BY_NAME, "job")
            host.submit(1, {0: ["spin", 0.2]})
            host.submit(2, {0: ["spin", 0.2]}, job="other")
            await host.until(lambda: len(host.printed_lines()) == 2)
            host.say(PauseJob("job", is_paused=True))
            await stopped(n)
            await host.hear_of("other")
            assert n.worker("laptop-001").status() != psutil.STATUS_STOPPED
            host.say(PauseJob("job", is_paused=False))
            await host.hear_of("job")

    run(main())


def test_a_worker_whose_task_is_over_does_not_stand_still_for_its_job(
    run: Callable, at_work: Callable
) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (_, host):
            host.submit(1, {0: ["echo", 0]})
            await host.results(1)
            host.say(PauseJob("job", is_paused=True))
            host.begin(BY_NAME, "other")
            host.submit(1, {0: ["echo", 1]}, job="other")
            await host.hear_of("other")

    run(main())


def test_what_is_paused_can_be_cancelled_and_ended(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(BY_NAME, workers=2) as (n, host):
            for channel in (1, 2):
                host.submit(channel, {channel: ["spin", 100]})
            await host.until(lambda: len(host.printed_lines()) == 2)
            host.say(PauseJob("job", is_paused=True))
            await stopped(n, "laptop-000")
            await stopped(n, "laptop-001")
            host.say(CancelTasks("job", 0, [1]), channel=1)
            (down,) = await host.hear(WorkerDown)
            assert (down.channel, down.running) == (1, None)
            host.say(EndJob("job"))
            await host.hear(WorkerDown, 2)
            await host.hear(WorkerUp, 4)
            host.begin(BY_NAME, "next")
            host.submit(2, {0: ["echo", 1]}, job="next")
            await host.hear_of("next")

    run(main())


def test_the_next_host_has_paused_nothing(run: Callable, at_work: Callable) -> None:
    async def main() -> None:
        async with at_work(BY_NAME) as (n, host):
            host.submit(1, {0: ["spin", 0.1]})
            await host.printed(b"spinning")
            host.say(PauseWorker(is_paused=True), channel=1)
            await stopped(n)
            host.link.abort()
            await host.lost
            second = n.meet()
            await second.welcome()
            assert await second.results(1) == {0: ("OK", "spun")}

    run(main())
