"""A worker that stands still in the middle of work is replaced, and one that computes never is."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.participant.frozen_workers import START_LOOKS_MAX, FrozenWorkers
from midas_mp.participant.vital_signs import VitalSigns
from midas_mp.wire.messages import TaskResults, WorkerDown, WorkerUp

INTERVAL_S = limits.HEARTBEAT_INTERVAL_S
LIMIT_S = INTERVAL_S * limits.SILENT_BEATS_MAX

JOB = """
function execute_code()
  print(global_data)
  while global_data == "for ever" do end
  return global_data
end
"""


class Worker:
    """A seat with its process, as far as it is looked at."""

    def __init__(self, state: str = "S", ticks_each_look: int = 0) -> None:
        self.process = self
        self.is_alive = self.is_busy = True
        self.is_paused = False
        self.ready: object = object()
        self.state = state
        self.ticks = 0
        self.ticks_each_look = ticks_each_look
        self.ends: list[tuple[str, bool]] = []

    def vital_signs(self) -> VitalSigns | None:
        self.ticks += self.ticks_each_look
        return VitalSigns(self.state, self.ticks) if self.ready is not None else None

    def put_away(self, why: str, *, is_blameless: bool) -> None:
        self.is_alive = False
        self.ends.append((why, is_blameless))


class Node:
    def __init__(self, *workers: Worker) -> None:
        self.is_holding = False
        self.watch = FrozenWorkers(workers, is_holding=lambda: self.is_holding)
        self.watch.watch()


def test_who_was_stopped_is_blameless_and_who_stands_still_by_himself_is_not(run_by_its_own_clock):
    async def main():
        stopped, still = Worker("T"), Worker("S")
        Node(stopped, still)
        await asyncio.sleep(LIMIT_S - 1)
        assert stopped.ends == still.ends == []
        await asyncio.sleep(INTERVAL_S + 2)
        assert stopped.ends == [("somebody had stopped it for 12 s", True)]
        assert still.ends == [("it had stood still for 12 s (state S)", False)]

    run_by_its_own_clock(main())


def test_who_computes_waits_for_a_processor_or_has_nothing_to_do_is_left_alone(
    run_by_its_own_clock,
):
    async def main():
        workers = [Worker("S", ticks_each_look=1), Worker("R"), Worker("T"), Worker("T")]
        workers[2].is_busy = False
        Node(*workers)
        for _ in range(1_000):
            await asyncio.sleep(INTERVAL_S * 2)
            workers[3].ticks += 1
        assert not any(worker.ends for worker in workers)

    run_by_its_own_clock(main())


def test_who_was_told_to_stand_still_is_looked_at_again_when_he_goes_on(run_by_its_own_clock):
    async def main():
        worker = Worker("T")
        worker.is_paused = True
        node = Node(worker)
        await asyncio.sleep(1_000)
        assert not worker.ends
        assert not node.watch.is_watching
        worker.is_paused = False
        node.watch.watch()
        await asyncio.sleep(LIMIT_S - 1)
        assert not worker.ends
        await asyncio.sleep(2 * INTERVAL_S)
        assert len(worker.ends) == 1

    run_by_its_own_clock(main())


def test_who_may_have_to_wait_for_us_is_not_judged(run_by_its_own_clock):
    async def main():
        worker = Worker()
        node = Node(worker)
        node.is_holding = True
        await asyncio.sleep(1_000)
        assert not worker.ends
        node.is_holding = False
        await asyncio.sleep(LIMIT_S + INTERVAL_S)
        assert worker.ends

    run_by_its_own_clock(main())


def test_a_node_that_stood_still_itself_begins_anew(run_by_its_own_clock):
    async def main():
        worker = Worker("T")
        node = Node(worker)
        for _ in range(20):
            await asyncio.sleep(LIMIT_S - INTERVAL_S)
            asyncio.get_running_loop()._clock.now_s += 3_600
        assert not worker.ends
        node.watch.stop()

    run_by_its_own_clock(main())


def test_a_process_that_never_gets_ready_is_replaced_after_a_long_time(run_by_its_own_clock):
    async def main():
        worker = Worker()
        worker.ready = None
        Node(worker)
        await asyncio.sleep(START_LOOKS_MAX * INTERVAL_S - 1)
        assert not worker.ends
        await asyncio.sleep(2)
        assert worker.ends == [("it was not ready after 60 s", True)]

    run_by_its_own_clock(main())


def test_where_the_kernel_tells_nothing_nobody_is_judged(run_by_its_own_clock):
    async def main():
        worker = Worker()
        worker.vital_signs = lambda: None
        Node(worker)
        await asyncio.sleep(1_000)
        assert not worker.ends

    run_by_its_own_clock(main())


def test_it_looks_only_while_somebody_has_something_to_do(run_by_its_own_clock):
    async def main():
        worker = Worker("R")
        node = Node(worker)
        await asyncio.sleep(100)
        assert node.watch.is_watching
        worker.is_busy = False
        await asyncio.sleep(INTERVAL_S)
        assert not node.watch.is_watching
        node.watch.stop()
        node.watch.watch()
        assert not node.watch.is_watching, "for good"

    run_by_its_own_clock(main())


def test_a_worker_that_somebody_stopped_is_replaced_and_its_task_given_back(
    run: Callable, at_work: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEARTBEAT_INTERVAL_S", 0.1)

    async def main() -> None:
        async with at_work(JOB, workers=2) as (n, host):
            host.submit(1, {0: "for ever"})
            host.submit(2, {1: "for ever"})
            await host.until(lambda: len(host.frames) and _printed(host) == 2)
            busy = n.worker("laptop-001").pid
            n.worker("laptop-000").send_signal(signal.SIGSTOP)
            (down,) = await host.hear(WorkerDown)
            assert (down.channel, down.running) == (1, None), "nobody is to blame"
            assert down.cause == "killed by SIGKILL: somebody had stopped it for 0.4 s"
            await host.hear(WorkerUp, 3)
            host.submit(1, {2: "next"})
            await host.hear(TaskResults)
            assert n.worker("laptop-001").pid == busy

    run(main())


def _printed(host) -> int:
    return sum(type(frame.message).__name__ == "TaskPrinted" for frame in host.frames)
