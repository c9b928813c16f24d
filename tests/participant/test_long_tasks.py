"""Tasks that run long are named as long as they run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.wire.messages import EndJob, Hello, TaskResults, TaskRunning, WorkerDown, WorkerUp

JOB = """
function execute_code()
  print(global_data)
  while global_data == "for ever" do end
end
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUNNING_NOTICE_S", 0.2)


def test_a_long_task_is_named_again_and_again(
    run: Callable, at_work: Callable, eventually: Callable
) -> None:
    async def main() -> None:
        async with at_work(JOB, workers=2) as (n, host):
            host.submit(1, {7: "at once"}, round_=4)
            host.submit(2, {8: "at once", 9: "for ever"}, round_=4)
            notices = await host.hear(TaskRunning, 3)
            whats = {(each.job, each.round, each.index, each.worker) for each in notices}
            assert whats == {("job", 4, 9, "laptop-001")}
            seconds = [each.elapsed_s for each in notices]
            assert seconds == sorted(set(seconds))
            assert seconds[0] > limits.RUNNING_NOTICE_S
            assert {f.channel for f in host.frames if isinstance(f.message, TaskRunning)} == {2}
            host.say(EndJob("job"))
            await host.hear(WorkerDown)
            await eventually(lambda: not n.launcher._crew._long_tasks.is_watching)
            host.begin(JOB, job="next")
            host.submit(2, {0: "for ever"}, job="next")
            await host.until(lambda: host.heard(TaskRunning)[-1].job == "next")

    run(main())


def test_what_runs_long_without_a_host_is_named_to_the_next_one_when_it_is_time(
    run: Callable, at_work: Callable, eventually: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with at_work(JOB) as (n, host):
            host.submit(1, {0: "for ever"})
            (first, *_) = await host.hear(TaskRunning)
            host.link.abort()
            await host.lost
            long_tasks = n.launcher._crew._long_tasks
            long_tasks._look()  # nobody hears of this one
            monkeypatch.setattr(limits, "RUNNING_NOTICE_S", 1e9)
            second = n.meet()
            await second.welcome(epoch=1)
            assert [type(frame.message) for frame in second.frames] == [Hello, WorkerUp]
            monkeypatch.setattr(limits, "RUNNING_NOTICE_S", 0.2)
            long_tasks._look()
            (again, *_) = await second.hear(TaskRunning)
            assert (again.index, again.elapsed_s >= first.elapsed_s) == (0, True)

    run(main())


def test_who_waits_for_work_is_not_looked_at(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            assert not n.launcher._crew._long_tasks.is_watching
            host.begin(JOB)
            host.submit(1, {0: "at once"})
            await host.hear(TaskResults)
            assert n.launcher._crew._long_tasks.is_watching
            n.launcher.leave("enough")
            assert not n.launcher._crew._long_tasks.is_watching
            n.launcher._crew._long_tasks.watch()
            assert not n.launcher._crew._long_tasks.is_watching, "for good"

    run(main())
