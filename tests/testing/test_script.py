"""The simulated user knows which results are right, and says what is wrong with the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from midas_mp.errors import ClusterLost, JobKilled
from midas_mp.lua.bundle import Bundle
from midas_mp.testing import orders as tasks
from midas_mp.testing.connection import Site
from midas_mp.testing.orders import POISON, Orders
from midas_mp.testing.scenario import JobPlan
from midas_mp.testing.script import ScriptedJob
from midas_mp.testing.trace import Trace
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Failure, Outcome, RunTasks, Status, TaskResults


class Counter:
    """A client whose one job remembers what it was given."""

    id = "4f2a"

    def __init__(self) -> None:
        self.put: list[str] = []
        self.submitted: list[tuple[RunTasks, Sequence[Buffer]]] = []
        self.shared: list[tuple[int, Sequence[Buffer]]] = []
        self.acknowledged: list[tuple[int, int]] = []
        self.cancelled: list[tuple[int, list[int]]] = []
        self.closed: list[str] = []

    def open_job(self, *_arguments: Any) -> Counter:
        return self

    async def wait_started(self) -> int:
        return 1

    def share(self, round_: int, buffers: Sequence[Buffer]) -> None:
        self.shared.append((round_, buffers))

    async def submit(self, order: RunTasks, buffers: Sequence[Buffer], bundle: Bundle) -> None:
        self.put.append(bundle.digest)
        self.submitted.append((order, buffers))

    def acknowledge(self, round_: int, indices: Sequence[int]) -> None:
        self.acknowledged += [(round_, index) for index in indices]

    def cancel(self, round_: int, indices: Sequence[int]) -> None:
        self.cancelled.append((round_, list(indices)))

    def close(self, reason: str = "") -> None:
        self.closed.append(reason)


class Case:
    def __init__(self, *rounds: list[Orders], must_hear_prints: bool = False, **plan: Any) -> None:
        fields = {
            "title": "job",
            "engine": "luajit",
            "rounds": list(rounds),
            "shared_bytes": 0,
            "timeout_s": 0.0,
            "batch_max": 2,
            "pause_s": 0.0,
            "acknowledge_s": 0.0,
            "abandoned_after": None,
            "abandoned_at_s": None,
            "cancels": {},
        }
        self.plan = JobPlan(**(fields | plan))
        self.objections: list[str] = []
        self.blamed: dict[tuple[str, int, int], int] = {}
        self.site = Site("client")
        self.client = Counter()
        trace = Trace(lambda: 0.0, None)
        self.job = ScriptedJob(
            self.plan,
            self.site,
            trace,
            self.blamed,
            self.objections.append,
            must_hear_prints=must_hear_prints,
        )
        self.work = asyncio.ensure_future(self.job.run(self.client))  # type: ignore[arg-type]

    def answer(self, orders: Orders, shared: str = "", payload: bytes | None = None) -> None:
        self._arrive(orders, Status.OK, payload or tasks.answer(orders, shared))

    def fail(self, orders: Orders, kind: str) -> None:
        self._arrive(orders, Status.FAILED, Failure(kind, "why").to_payload())

    def _arrive(self, orders: Orders, status: Status, payload: bytes) -> None:
        outcome = Outcome(orders.index, 0, status, 10)
        self.job.results_arrived(TaskResults("4f2a", orders.round, "w", [outcome]), [payload])


def some(count: int, round_: int = 0, **more: Any) -> list[Orders]:
    return [Orders("job", round_, index, 0.5, **more) for index in range(count)]


def test_it_submits_in_batches_acknowledges_and_goes_on_to_the_next_round(play):
    async def main() -> None:
        first, second = some(3), some(1, 1)
        case = Case(first, second)
        await asyncio.sleep(1)
        assert [len(order.calls) for order, _ in case.client.submitted] == [2, 1]
        for orders in first:
            case.answer(orders)
        await asyncio.sleep(1)
        assert [order.round for order, _ in case.client.submitted] == [0, 0, 1]
        case.answer(second[0])
        await asyncio.wait_for(case.work, 1)
        assert case.client.acknowledged == [(0, 0), (0, 1), (0, 2), (1, 0)]
        assert case.client.closed == ["done"]
        assert case.objections == []

    play(main())


def test_rounds_may_go_at_once(play):
    async def main() -> None:
        first, second = some(1), some(2, 1)
        case = Case(first, second, is_at_once=True)
        await asyncio.sleep(1)
        assert [order.round for order, _ in case.client.submitted] == [0, 1]
        for orders in (*second, *first):
            assert not case.work.done()
            case.answer(orders)
        await asyncio.wait_for(case.work, 1)
        assert case.objections == []

    play(main())


def test_what_is_submitted_together_is_of_one_bundle_that_was_put_before(play):
    async def main() -> None:
        case = Case([replace(orders, bundle=orders.index % 2) for orders in some(4)], batch_max=4)
        await asyncio.sleep(1)
        digests = [tasks.bundle(0).digest, tasks.bundle(1).digest]
        assert case.client.put == digests
        indices = [[call.index for call in order.calls] for order, _ in case.client.submitted]
        assert [order.digest for order, _ in case.client.submitted] == digests
        assert indices == [[0, 2], [1, 3]]

    play(main())


def test_it_takes_its_time_where_the_plan_says_so(play, loop):
    async def main() -> None:
        case = Case(some(4), pause_s=10.0, acknowledge_s=5.0)
        await asyncio.sleep(15)
        assert len(case.client.submitted) == 1
        await asyncio.sleep(10)
        assert len(case.client.submitted) == 2
        case.answer(case.plan.rounds[0][0])
        assert case.client.acknowledged == []
        await asyncio.sleep(6)
        assert case.client.acknowledged == [(0, 0)]

    play(main())


def test_the_shared_data_of_the_round_must_have_been_read(play):
    async def main() -> None:
        case = Case(some(2, shared=True), shared_bytes=100)
        await asyncio.sleep(1)
        ((round_, shared),) = case.client.shared
        assert round_ == 0
        case.answer(case.plan.rounds[0][0], tasks.fingerprint(shared))
        assert case.objections == []
        case.answer(case.plan.rounds[0][1], "0" * 8)
        assert case.objections == ["job round 0 task 1: a wrong result"]
        case.job.shared_progressed("node", 100, 100)
        assert len(case.objections) == 1
        case.job.shared_progressed("node", 101, 100)
        assert len(case.objections) == 2

    play(main())


def test_enough_results_end_it(play):
    async def main() -> None:
        case = Case(some(5), abandoned_after=1)
        await asyncio.sleep(1)
        case.answer(case.plan.rounds[0][0])
        assert not case.work.done()
        case.answer(case.plan.rounds[0][4])
        await asyncio.wait_for(case.work, 1)
        assert case.client.closed == ["done"]

    play(main())


def test_it_is_closed_when_the_user_changes_their_mind_and_finds_out(play):
    async def main() -> None:
        case = Case(some(50), pause_s=10.0, abandoned_at_s=25.0)
        await asyncio.sleep(24)
        assert not case.work.done()
        await asyncio.sleep(2)
        assert case.client.closed == ["the user has changed their mind"]
        await asyncio.sleep(5)
        assert case.work.done()
        assert case.objections == []

    play(main())


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda case, one: [case.answer(one), case.answer(one)], "a result for the second time"),
        (lambda case, one: case.answer(one, payload=b"x"), "a wrong result"),
        (lambda case, one: case.answer(Orders("job", 1, 0, 0.1)), "a result that nobody waits for"),
        (lambda case, one: case.answer(Orders("job", 0, 9, 0.1)), "a result that nobody waits for"),
        (lambda case, one: case.fail(one, "runtime"), "it cannot have failed so: why"),
        (lambda case, one: case.fail(one, "timeout"), "it cannot have failed so: why"),
        (lambda case, one: case.fail(one, "lost"), "it cannot have failed so: why"),
        (lambda case, one: case.fail(one, "memory"), "it cannot have failed so: why"),
    ],
)
def test_what_is_wrong_with_a_result_is_said(play, spoil, complaint):
    async def main() -> None:
        case = Case(some(2))
        await asyncio.sleep(1)
        spoil(case, case.plan.rounds[0][0])
        assert [text.partition(": ")[2] for text in case.objections] == [complaint]

    play(main())


@pytest.mark.parametrize(
    ("more", "kind"),
    [({"fails": True}, "runtime"), ({"crashes": POISON}, "lost"), ({"seconds": 5.0}, "timeout")],
)
def test_a_task_that_was_told_to_fail_may(play, more, kind):
    async def main() -> None:
        orders = Orders(**({"title": "job", "round": 0, "index": 0, "seconds": 0.1} | more))
        case = Case([orders], timeout_s=2.0)
        case.blamed[orders.name] = 3
        await asyncio.sleep(1)
        case.fail(orders, kind)
        assert case.objections == []

    play(main())


@pytest.mark.parametrize("more", [{"fails": True}, {"crashes": POISON}])
def test_a_task_that_was_told_to_fail_has_no_result(play, more):
    async def main() -> None:
        case = Case(some(1, **more))
        await asyncio.sleep(1)
        case.answer(case.plan.rounds[0][0])
        assert case.objections == ["job round 0 task 0: a result that cannot be"]

    play(main())


@pytest.mark.parametrize(
    ("heard", "is_right"),
    [
        ([b"0: line 0", b"0: line 1"], True),
        ([b"0: line 0", b"0: line 0", b"0: line 1"], True),
        ([b"0: line 0"], False),
        ([], False),
    ],
)
def test_prints_come_before_the_result_where_nothing_gets_lost(play, heard, is_right):
    async def main() -> None:
        case = Case(some(1, prints=2), must_hear_prints=True)
        await asyncio.sleep(1)
        for text in heard:
            case.job.task_printed(0, "w", text)
        case.answer(case.plan.rounds[0][0])
        assert (case.objections == []) == is_right

    play(main())


@pytest.mark.parametrize("is_glitched", [False, True])
def test_a_job_is_only_lost_where_a_connection_made_mistakes(play, is_glitched):
    async def main() -> None:
        case = Case(some(1))
        case.site.is_glitched = is_glitched
        await asyncio.sleep(1)
        case.job.job_lost(ClusterLost("gone"))
        await asyncio.wait_for(case.work, 1)
        assert bool(case.objections) != is_glitched

    play(main())


@pytest.mark.parametrize("name", ["4f2a", "another"])
def test_a_job_that_somebody_wants_to_end_may_be_lost(play, name):
    async def main() -> None:
        case = Case(some(1))
        await asyncio.sleep(1)
        case.job.is_killed(name)
        case.job.job_lost(JobKilled("killed by somebody"))
        await asyncio.wait_for(case.work, 1)
        assert (case.objections == []) == (name == case.client.id)

    play(main())


@pytest.mark.parametrize(
    ("seconds", "may_fail"),
    [(0.2, False), (2.0, True), (0.9, True)],
)
def test_a_task_over_several_medians_of_its_round_may_fail(play, seconds, may_fail):
    """On the slowest node 0.2 s are less than a second, below which nothing is ended."""

    async def main() -> None:
        mates = [Orders("job", 0, 0, 0.1), Orders("job", 0, 1, seconds)]
        case = Case(mates, timeout_factor=5.0)
        await asyncio.sleep(1)
        case.fail(mates[1], "timeout")
        assert (case.objections == []) == may_fail

    play(main())


def test_a_task_that_takes_what_all_take_is_not_over_their_median(play):
    async def main() -> None:
        case = Case(some(3), timeout_factor=20.0)
        await asyncio.sleep(1)
        case.fail(case.plan.rounds[0][0], "timeout")
        assert case.objections == ["job round 0 task 0: it cannot have failed so: why"]

    play(main())


def test_it_cancels_what_the_plan_says_and_waits_for_it_no_more(play):
    async def main() -> None:
        tasks_ = some(4)
        case = Case(tasks_, cancels={(0, 0): 1.0, (0, 1): 1.0, (0, 3): 2.0})
        await asyncio.sleep(0.5)
        case.answer(tasks_[1])
        await asyncio.sleep(1)
        assert case.client.cancelled == [(0, [0, 1])]
        case.answer(tasks_[2])
        assert not case.work.done()
        await asyncio.wait_for(case.work, 1)
        assert case.client.cancelled == [(0, [0, 1]), (0, [3])]
        assert case.objections == []
        case.job._is_over = False
        case.answer(tasks_[0])
        assert case.objections == ["job round 0 task 0: a result of a cancelled task"]

    play(main())
