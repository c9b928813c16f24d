"""What workers have to say reaches the host that knows them, now or later, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.errors import MidasError
from midas_mp.participant.reports import Reports
from midas_mp.participant.seat import Seat
from midas_mp.participant.uplink import Uplink
from midas_mp.permissions import OF_TASKS
from midas_mp.transport import memory
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, encode
from midas_mp.wire.local import WorkerReady
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Call,
    Hello,
    Outcome,
    Role,
    RunTasks,
    Status,
    TaskPrinted,
    TaskRef,
    TaskResults,
    TaskRunning,
    TasksReturned,
    Welcome,
    WorkerUp,
)

RESULT = Frame(1, TaskResults("job", 0, "lab-000", [Outcome(4, 0, Status.OK, 9)]), [b"r"])
PRINTED = Frame(1, TaskPrinted("job", 0, 4, "lab-000"), [b"hello"])


class Process:
    killed_on_purpose = False


class Host:
    """A host that the node has greeted and that has welcomed it, or not yet."""

    def __init__(self) -> None:
        self.heard: list[Frame] = []
        conversation = Conversation(Role.LAUNCHER, Role.HOST)
        end, self.link = memory.pair(self, conversation, self, Conversation(Role.HOST, None))
        self.uplink = Uplink(end, list)
        end.send([Frame(0, Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "a", "lab"))])

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        if link is self.link:
            self.heard += frames

    def link_lost(self, _link: Link, _error: MidasError | None) -> None: ...

    async def welcome(self) -> None:
        await self.turns()
        self.link.send([Frame(0, Welcome(PROTOCOL_VERSION, "0", "lab", 0))])
        await self.turns()
        self.heard.clear()

    async def turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def seat() -> Seat:
    """A worker that is ready; the host does not know it."""
    seat = Seat(1)
    seat.process = Process()
    seat.ready = WorkerReady(77, 3, ["luajit"])
    return seat


@pytest.fixture
def reports() -> Reports:
    return Reports(OF_TASKS)


async def met(reports: Reports) -> Host:
    host = Host()
    await host.welcome()
    reports.turn_to(host.uplink, "lab")
    return host


def test_workers_are_named_after_their_node_as_the_host_knows_it(
    run: Callable, reports: Reports
) -> None:
    async def main() -> None:
        await met(reports)
        assert [reports.worker(Seat(channel)) for channel in (1, 12)] == ["lab-000", "lab-011"]
        reports.lose_host()
        assert reports.node == "lab", "until the next host calls it otherwise"

    run(main())


def test_what_comes_of_tasks_waits_for_a_host_that_knows_the_worker(
    run: Callable, reports: Reports, seat: Seat
) -> None:
    async def main() -> None:
        reports.tell(seat, [PRINTED])
        host = await met(reports)
        reports.tell(seat, [RESULT])
        assert reports.kept_count == 1
        assert not reports.deliver([seat]), "the host would not know whose it is"
        reports.register(seat)
        assert reports.deliver([seat])
        assert not reports.deliver([seat])
        reports.tell(seat, [RESULT])
        await host.turns()
        assert isinstance(host.heard[0].message, WorkerUp)
        assert host.heard[1:] == [PRINTED, RESULT, RESULT]
        assert reports.kept_count == 0

    run(main())


def test_of_a_job_that_has_ended_nothing_is_kept(
    run: Callable, reports: Reports, seat: Seat
) -> None:
    async def main() -> None:
        reports.tell(seat, [RESULT])
        reports.drop_job("job")
        assert reports.kept_count == 0

    run(main())


def test_before_its_welcome_and_after_its_end_a_host_hears_nothing(
    run: Callable, reports: Reports, seat: Seat
) -> None:
    async def main() -> None:
        host = Host()
        reports.turn_to(host.uplink, "lab")
        await host.turns()
        host.heard.clear()
        reports.register(seat)
        reports.give_back(1, [TaskRef("job", 0, 1)])
        await host.welcome()
        host.link.abort()
        await host.turns()
        reports.register(seat)
        assert not reports.deliver([seat])
        assert (host.heard, seat.is_registered) == ([], False)

    run(main())


def test_a_process_that_was_killed_is_not_introduced(
    run: Callable, reports: Reports, seat: Seat
) -> None:
    async def main() -> None:
        host = await met(reports)
        seat.process.killed_on_purpose = True
        reports.register(seat)
        await host.turns()
        assert (host.heard, seat.is_registered) == ([], False)

    run(main())


def test_a_long_task_is_named_to_who_listens_and_never_later(
    run: Callable, reports: Reports, seat: Seat
) -> None:
    async def main() -> None:
        task = TaskRef("job", 2, 4)
        reports.tell_running(seat, task, 6.0)
        host = await met(reports)
        reports.tell_running(seat, task, 7.0)
        reports.register(seat)
        reports.tell_running(seat, task, 8.0)
        await host.turns()
        assert host.heard[1:] == [Frame(1, TaskRunning("job", 2, 4, "lab-000", 8.0))]

    run(main())


def test_all_that_has_not_begun_goes_back_in_frames_that_can_be_sent(
    run: Callable, reports: Reports, seat: Seat
) -> None:
    async def main() -> None:
        host = await met(reports)
        reports.hand_back(seat)
        count = 2 * limits.TASKS_PER_FRAME_MAX + 1
        for index in range(count):
            order = RunTasks("j" * 128, 0, count, "0" * 64, "execute_code", [Call(index)])
            seat.enqueue(Frame(1, order, [b""]))
        reports.hand_back(seat)
        await host.turns()
        answers = [frame.message for frame in host.heard]
        assert [type(answer) for answer in answers] == [TasksReturned] * 3
        assert {ref.index for answer in answers for ref in answer.tasks} == set(range(count))
        assert all(encode(frame) for frame in host.heard)

    run(main())


def test_who_asked_for_tasks_hears_also_that_there_are_none(
    run: Callable, reports: Reports
) -> None:
    async def main() -> None:
        host = await met(reports)
        reports.give_back(3, [])
        await host.turns()
        assert host.heard == [Frame(3, TasksReturned([]))]

    run(main())
