"""Simulated Lua processes behave as real ones do behind a ``LuaProcess``."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from midas_mp.errors import IllegalTransition
from midas_mp.participant.process import ProcessEnd
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.testing import orders as tasks
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import Site
from midas_mp.testing.orders import POISON, Orders
from midas_mp.testing.processes import Ground, SimulatedProcess, SimulatedSupervisor
from midas_mp.testing.trace import Trace
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import LoadScript, SharedData, WorkerReady
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    DropBundles,
    EndJob,
    JobSpec,
    PutBundle,
    RunTasks,
    Status,
    TaskResults,
    TasksReturned,
)

Play = Callable[[Coroutine[Any, Any, Any]], Any]
DIGEST = tasks.bundle(0).digest


class Desk:
    """A launcher, as far as one process sees it."""

    def __init__(self, *, speed: float = 1.0) -> None:
        loop = asyncio.get_running_loop()
        self.heard: list[Any] = []
        """Results by index, printed texts, and the end, in order."""
        self.durations_s: dict[int, float] = {}
        self.frames = 0
        self.ends: list[ProcessEnd] = []
        self.objections: list[str] = []
        self.blamed: dict[tuple[str, int, int], int] = {}
        self.site = Site("node")
        ground = Ground(
            self.site,
            Chance("test"),
            Trace(loop.time, None),
            speed,
            ["luajit"],
            self.blamed,
            self.objections.append,
        )
        self.supervisor = SimulatedSupervisor(ground)
        spec = ChildSpec("w-000", "node", "worker", memory_bytes=0, memory_hard_bytes=0)
        self.process = self.supervisor.start(spec, self)  # type: ignore[arg-type]

    def process_frames(self, _process: SimulatedProcess, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame.message, WorkerReady):
                self.heard.append("ready")
            elif isinstance(frame.message, TaskResults):
                self.frames += 1
                for outcome, payload in zip(frame.message.outcomes, frame.buffers, strict=True):
                    self.heard.append((outcome.index, outcome.status, bytes(payload)))
                    self.durations_s[outcome.index] = outcome.duration_us / 1e6
            elif isinstance(frame.message, TasksReturned):
                self.heard += ["returned", *((ref.index, ref) for ref in frame.message.tasks)]

    def process_output(self, _process: SimulatedProcess, records: Sequence[Any]) -> None:
        self.heard += [(record.index, record.text) for record in records]

    def process_ended(self, _process: SimulatedProcess, end: ProcessEnd) -> None:
        self.heard.append("end")
        self.ends.append(end)

    def say(self, *frames: Frame) -> None:
        self.process.send(frames)

    def begin(self) -> None:
        bundle = Frame(0, PutBundle("j", DIGEST, "x.lua", []), [b"--"])
        self.say(Frame(0, BeginJob("j", JobSpec())), bundle)

    def give(self, *some: Orders, attempt: int = 0) -> None:
        calls = [Call(orders.index, attempt) for orders in some]
        message = RunTasks("j", some[0].round, 100, DIGEST, "execute_code", calls)
        self.say(Frame(0, message, [tasks.encode(orders) for orders in some]))


def orders(index: int, seconds: float = 0.01, **more: Any) -> Orders:
    return Orders("job", 0, index, seconds, **more)


def ok(some: Orders, shared: str = "") -> tuple[int, Status, bytes]:
    return some.index, Status.OK, tasks.answer(some, shared)


def test_it_gets_ready_computes_in_order_and_answers(play: Play) -> None:
    async def main() -> None:
        desk = Desk(speed=0.5)
        await asyncio.sleep(1)
        desk.begin()
        some = [orders(4), orders(2), orders(9)]
        desk.give(*some)
        await asyncio.sleep(1)
        assert desk.heard == ["ready", *map(ok, some)]
        assert desk.durations_s == pytest.approx({4: 0.02, 2: 0.02, 9: 0.02}, rel=0.01)
        assert desk.objections == []

    play(main())


def test_what_is_finished_can_be_taken_early_and_what_has_not_begun_taken_back(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        some = [orders(0, 0.001), orders(1, 0.001, fails=True), orders(2, 5), orders(3), orders(4)]
        desk.give(*some)
        desk.give(orders(5))
        await asyncio.sleep(1)
        running = desk.process.running()
        assert running is not None
        assert running.serial == 3
        early = desk.process.unsent(1, running)
        assert [each.status for each in early] == [Status.OK, Status.FAILED]
        assert early[0].payload == [tasks.answer(some[0], "")]
        assert desk.process.unsent(2, running) == []
        desk.process.take_back(6)
        desk.give(orders(3), orders(9))
        await asyncio.sleep(9)
        heard = [each[0] if isinstance(each, tuple) else each for each in desk.heard]
        assert heard == ["ready", 0, 1, 2, "returned", 3, 4, "returned", 5, 3, 9]
        assert desk.process.unsent(1, running) == []

    play(main())


def test_while_it_is_paused_it_does_nothing_and_its_time_does_not_count(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.process.limit(2.0)
        some = orders(0, 1.0)
        desk.give(some)
        await asyncio.sleep(0.5)
        running = desk.process.running()
        assert running is not None
        desk.process.pause()
        await asyncio.sleep(10)
        assert desk.heard == ["ready"]
        now_ns = int(asyncio.get_running_loop().time() * 1e9)
        assert desk.process.time_spent_ns(running, now_ns) == pytest.approx(0.5e9, rel=0.01)
        desk.process.resume()
        await asyncio.sleep(1)
        assert desk.heard == ["ready", ok(some)]

    play(main())


def test_short_results_share_a_frame(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(*(orders(index, 0.002) for index in range(16)))
        desk.give(*(orders(index, 0.1) for index in range(20, 23)))
        await asyncio.sleep(1)
        assert 2 <= desk.frames - 3 < 5

    play(main())


def test_what_it_prints_comes_before_the_result_even_when_nobody_reads(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.process.pause_output()
        desk.give(orders(0, 0.5, prints=2))
        await asyncio.sleep(0.3)
        assert desk.heard == ["ready"]
        await asyncio.sleep(0.5)
        assert desk.heard[1:3] == [(0, b"0: line 0"), (0, b"0: line 1")]
        desk.process.resume_output()
        desk.give(orders(1, 0.5, prints=1))
        await asyncio.sleep(0.3)
        assert desk.heard[-1] == (1, b"0: line 0")

    play(main())


def test_a_kill_leaves_what_was_sent_before_and_blames_nobody(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0), orders(1, 10.0))
        await asyncio.sleep(1)
        desk.process.kill()
        await asyncio.sleep(1)
        assert desk.heard == ["ready", ok(orders(0)), "end"]
        assert desk.ends[0].exit.signal == signal.SIGKILL
        assert desk.ends[0].running is None
        assert desk.blamed == {}
        assert desk.supervisor.processes == {}

    play(main())


def test_a_death_from_outside_names_the_task_that_ran(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(7, 10.0))
        await asyncio.sleep(1)
        desk.process.die(signal.SIGKILL)
        await asyncio.sleep(1)
        running = desk.ends[0].running
        assert running is not None
        assert (running.serial, running.round, running.index) == (1, 0, 7)
        assert desk.blamed == {("job", 0, 7): 1}

    play(main())


@pytest.mark.parametrize(("attempt", "dies"), [(0, True), (1, True), (2, False)])
def test_a_task_that_crashes_does_so_in_its_first_attempts(
    play: Play, attempt: int, dies: bool
) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, crashes=2), attempt=attempt)
        await asyncio.sleep(1)
        assert bool(desk.ends) == dies
        if dies:
            assert desk.ends[0].exit.signal == signal.SIGSEGV

    play(main())


def test_poison_kills_every_time(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, crashes=POISON), attempt=50)
        await asyncio.sleep(1)
        assert len(desk.ends) == 1

    play(main())


def test_a_task_over_its_deadline_is_killed_for_it(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.process.limit(1.0)
        desk.give(orders(0, 0.9), orders(1, 1.2), orders(2))
        await asyncio.sleep(5)
        assert desk.heard == ["ready", ok(orders(0, 0.9)), "end"]
        overdue = desk.ends[0].overdue
        assert overdue is not None
        assert overdue.index == 1

    play(main())


def test_a_deadline_that_changes_holds_for_what_runs(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, 10))
        await asyncio.sleep(3)
        desk.process.limit(5.0)
        await asyncio.sleep(1)
        desk.process.limit(7.0)
        await asyncio.sleep(2.5)
        assert desk.ends == []
        desk.process.limit(2.0)
        await asyncio.sleep(0.2)
        assert [end.overdue is not None for end in desk.ends] == [True]

    play(main())


def test_a_script_that_fails_says_so(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, fails=True))
        await asyncio.sleep(1)
        assert desk.heard[1][:2] == (0, Status.FAILED)

    play(main())


def test_the_shared_data_that_it_has_are_in_the_answer(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, shared=True))
        await asyncio.sleep(1)
        assert desk.heard[-1] == ok(orders(0, shared=True))
        for round_ in range(2):
            shared = tasks.shared_payload("job", round_, 100)
            desk.say(Frame(0, SharedData("j", round_), shared))
            desk.give(orders(0, shared=True))
            await asyncio.sleep(1)
            assert desk.heard[-1] == ok(orders(0, shared=True), tasks.fingerprint(shared))

    play(main())


def test_it_objects_to_what_it_was_not_told(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.say(Frame(0, EndJob("j")))
        desk.give(orders(0))
        await asyncio.sleep(1)
        assert desk.objections[0] == "w-000: a frame of a job that did not begin here"
        assert "w-000: tasks whose bundle never came" in desk.objections

    play(main())


def test_it_objects_to_tasks_of_a_bundle_that_it_dropped_and_of_another(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, bundle=1))
        await asyncio.sleep(1)
        assert desk.objections == ["w-000: task 0 of another bundle"]
        desk.say(Frame(0, DropBundles("j", [DIGEST])))
        desk.give(orders(1))
        await asyncio.sleep(1)
        assert desk.objections[1:] == ["w-000: tasks whose bundle never came"]

    play(main())


def test_what_does_not_belong_to_a_worker_cannot_be_said(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        with pytest.raises(IllegalTransition):
            desk.say(Frame(0, WorkerReady(1, 0, [])))
        desk.say(Frame(0, LoadScript("j", DIGEST)))
        await asyncio.sleep(1)
        assert desk.objections == ["w-000: a worker does not take LoadScript"]

    play(main())


def test_when_the_supervisor_closes_nothing_more_is_heard(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0))
        desk.supervisor.close()
        await asyncio.sleep(5)
        assert desk.heard == ["ready"]

    play(main())


def test_a_stopped_process_does_nothing_more_and_can_only_be_put_away(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0, 5.0))
        await asyncio.sleep(1)
        assert desk.process.vital_signs() is None, "nobody knows anything bad of it"
        desk.process.is_stopped = True
        await asyncio.sleep(100)
        assert desk.heard == ["ready"]
        signs = desk.process.vital_signs()
        assert signs is not None
        assert (signs.state, signs) == ("T", desk.process.vital_signs())
        desk.process.put_away("it stands still", is_blameless=True)
        await asyncio.sleep(1)
        assert desk.heard == ["ready", "end"]
        assert desk.ends[0].running is None
        assert desk.blamed == {}

    play(main())


def test_a_frozen_node_computes_nothing(play: Play) -> None:
    async def main() -> None:
        desk = Desk()
        await asyncio.sleep(1)
        desk.begin()
        desk.give(orders(0))
        desk.site.frozen_until = asyncio.get_running_loop().time() + 20
        await asyncio.sleep(19)
        assert desk.heard == ["ready"]
        await asyncio.sleep(2)
        assert desk.heard == ["ready", ok(orders(0))]

    play(main())
