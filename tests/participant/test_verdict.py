"""Who is to blame for the end of a worker; no process need die for that."""

from __future__ import annotations

import signal

import pytest

from midas_mp import limits
from midas_mp.participant.child import ChildExit
from midas_mp.participant.node_job import NodeJob
from midas_mp.participant.process import ProcessEnd
from midas_mp.participant.seat import Seat
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.verdict import FailedCall, verdict
from midas_mp.participant.zygote_messages import WORKER_BROKEN, WORKER_SPOILED
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    BeginJob,
    Call,
    Failure,
    JobSpec,
    Outcome,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
)

NODE_BYTES = 256 * limits.MB
RUNNING = RunningTask(1, 3, 7, started_ns=5)
THE_TASK = TaskRef("job", 3, 7)


@pytest.fixture
def seat() -> Seat:
    """Its process has task 7 in hand, at its second attempt; task 8 waits."""
    seat = Seat(2)
    order = RunTasks("job", 3, 1000, "0" * 64, "execute_code", [Call(7, 1), Call(8)])
    seat.enqueue(Frame(2, order, [b"7", b"8"]))
    assert [batch.refs() for batch in seat.next_batches()] == [[THE_TASK]]
    return seat


def ended(
    signum: int | None = None,
    *,
    code: int | None = None,
    peak_mb: int = 20,
    running: RunningTask | None = None,
    overdue: RunningTask | None = None,
) -> ProcessEnd:
    return ProcessEnd(ChildExit("w", 1, code, signum, peak_mb * limits.MB), running, overdue, "")


def judged(end: ProcessEnd, seat: Seat, **spec: object) -> FailedCall | TaskRef | None:
    jobs = {"job": NodeJob(Frame(0, BeginJob("job", JobSpec(**spec))))} if spec else {}
    return verdict(end, seat, jobs, deadline_s=2.0, memory_bytes=NODE_BYTES)


def failure_of(end: ProcessEnd, seat: Seat, **spec: object) -> Failure:
    found = judged(end, seat, **spec)
    assert isinstance(found, FailedCall)
    return found.failure


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_who_dies_in_the_middle_names_its_task(seat: Seat, signum: int) -> None:
    assert judged(ended(signum, running=RUNNING), seat) == THE_TASK


def test_who_is_killed_between_two_tasks_names_nobody(seat: Seat) -> None:
    assert judged(ended(signal.SIGKILL), seat) is None


@pytest.mark.parametrize("end", [ended(signal.SIGSEGV), ended(code=WORKER_BROKEN)])
def test_who_breaks_down_before_its_task_names_the_next(seat: Seat, end: ProcessEnd) -> None:
    assert judged(end, seat) == THE_TASK
    seat.vacate()
    assert judged(end, seat) is None


def test_who_says_itself_that_it_is_unfit_blames_nobody(seat: Seat) -> None:
    assert judged(ended(code=WORKER_SPOILED, running=RUNNING), seat) is None


@pytest.mark.parametrize("page", [RunningTask(2, 3, 8, 5), RunningTask(1, 3, 99, 5)])
def test_a_page_that_names_what_was_never_sent_blames_nobody(seat: Seat, page: RunningTask) -> None:
    assert judged(ended(signal.SIGKILL, running=page), seat) is None


def test_a_task_over_its_time_has_failed_and_its_result_says_which_attempt(seat: Seat) -> None:
    found = judged(ended(signal.SIGKILL, overdue=RUNNING), seat)
    assert isinstance(found, FailedCall)
    assert found.failure.kind == "timeout"
    assert found.failure.message.startswith("timeout of 2 s reached, killed;")
    assert found.started_ns == 5
    assert found.batch.failed(found.failure, 2, "laptop-001", 60) == Frame(
        2,
        TaskResults("job", 3, "laptop-001", [Outcome(7, 1, Status.FAILED, 60)]),
        [found.failure.to_payload()],
    )


def test_a_time_that_follows_the_median_is_told_so(seat: Seat) -> None:
    failure = failure_of(ended(signal.SIGKILL, overdue=RUNNING), seat, timeout_factor=5)
    assert "2 s (5x the median task)" in failure.message


@pytest.mark.parametrize(
    ("wanted_mb", "limit_mb"), [(64, 64), (0, 256), (1_000, 256)], ids=["less", "all", "too much"]
)
def test_the_memory_of_a_job_is_what_it_asks_for_as_far_as_the_node_grants_it(
    seat: Seat, wanted_mb: int, limit_mb: int
) -> None:
    spec = {"memory_bytes": wanted_mb * limits.MB}
    crash = ended(signal.SIGSEGV, running=RUNNING, peak_mb=limit_mb)
    assert f"memory limit of {limit_mb} MB reached" in failure_of(crash, seat, **spec).message
    below = ended(signal.SIGSEGV, running=RUNNING, peak_mb=limit_mb - 1)
    assert judged(below, seat, **spec) == THE_TASK


def test_of_a_job_that_has_ended_the_bounds_are_the_nodes(seat: Seat) -> None:
    crash = ended(signal.SIGSEGV, running=RUNNING, peak_mb=256)
    assert failure_of(crash, seat).kind == "memory"
