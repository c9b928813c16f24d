"""A seat cuts work by measured time, and takes back what has not begun."""

import pytest

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.participant.seat import Seat
from midas_mp.participant.status_page import RunningTask
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Call, Outcome, RunTasks, Status, TaskRef, TaskResults

DIGEST = "0" * 64


def work(*indices: int, job: str = "job", digest: str = DIGEST) -> Frame:
    calls = [Call(index) for index in indices]
    order = RunTasks(job, 0, 1000, digest, "execute_code", calls)
    return Frame(1, order, [b"p%d" % index for index in indices])


def results(*indices: int, duration_us: int, job: str = "job") -> TaskResults:
    outcomes = [Outcome(index, 0, Status.OK, duration_us) for index in indices]
    return TaskResults(job, 0, "w", outcomes)


def sent(seat: Seat) -> list[list[int]]:
    """The indices of the frames that go to the process now."""
    return [[call.index for call in batch.calls] for batch in seat.next_batches()]


def test_unmeasured_tasks_go_one_at_a_time() -> None:
    seat = Seat(1)
    seat.enqueue(work(0, 1, 2))
    assert sent(seat) == [[0]]
    assert sent(seat) == []
    seat.finish(results(0, duration_us=1_000_000))
    assert sent(seat) == [[1]]


def test_long_tasks_never_wait_in_the_socket() -> None:
    seat = Seat(1)
    seat.enqueue(work(0, 1, 2))
    sent(seat)
    seat.finish(results(0, duration_us=30_000))
    assert sent(seat) == [[1]]
    assert seat.recall(10) == [TaskRef("job", 0, 2)]


def test_only_tasks_of_a_few_milliseconds_wait_in_the_socket() -> None:
    limit_us = int(limits.WAITING_TASK_S_MAX * 1e6)
    for duration_us, frames in [(limit_us, [[1], [2]]), (limit_us + 1, [[1]])]:
        seat = Seat(1)
        seat.enqueue(work(0, 1, 2))
        sent(seat)
        seat.finish(results(0, duration_us=duration_us))
        assert sent(seat) == frames


def test_short_tasks_come_many_to_a_frame_with_one_frame_waiting() -> None:
    seat = Seat(1)
    seat.enqueue(work(*range(500)))
    sent(seat)
    seat.finish(results(0, duration_us=20))
    frames = sent(seat)
    assert [len(frame) for frame in frames] == [166, 111]  # a third of the 10 ms that wait
    assert [index for frame in frames for index in frame] == list(range(1, 278))


@pytest.mark.parametrize(
    ("waiting", "frame_s"),
    [(1_000, limits.FRAME_TIME_S_MAX), (151, 0.005), (50, limits.FRAME_TIME_TARGET_S)],
)
def test_frames_are_long_while_much_waits_and_short_near_the_end(
    waiting: int, frame_s: float
) -> None:
    seat = Seat(1)
    seat.enqueue(work(*range(waiting + 1)))
    sent(seat)
    seat.finish(results(0, duration_us=100))
    assert len(sent(seat)[0]) == round(frame_s / 100e-6)


def test_payloads_stay_with_their_calls_when_batches_are_cut() -> None:
    seat = Seat(1)
    seat.enqueue(work(*range(10)))
    first = next(iter(seat.next_batches()))
    assert first.frame().buffers == [b"p0"]
    assert seat.recall(3) == [TaskRef("job", 0, index) for index in (7, 8, 9)]
    seat.finish(results(0, duration_us=1))
    (rest,) = list(seat.next_batches())
    assert rest.frame().buffers == [b"p%d" % index for index in range(1, 7)]


def test_recall_takes_whole_batches_from_the_end_and_no_more_than_asked() -> None:
    seat = Seat(1)
    seat.enqueue(work(0, 1))
    seat.enqueue(work(2, 3))
    sent(seat)
    assert [ref.index for ref in seat.recall(2)] == [2, 3]
    assert [ref.index for ref in seat.recall(5)] == [1]
    assert seat.recall(5) == []


def test_jobs_do_not_share_the_hand() -> None:
    seat = Seat(1)
    seat.enqueue(work(0, 1, job="a"))
    seat.enqueue(work(0, job="b"))
    sent(seat)
    seat.finish(results(0, duration_us=1, job="a"))
    assert sent(seat) == [[1]]
    assert seat.has_in_hand("a")
    assert not seat.has_in_hand("b")
    assert seat.drop_job("b") == [TaskRef("b", 0, 0)]


@pytest.mark.parametrize(
    "wrong",
    [
        results(1, duration_us=1),
        results(0, duration_us=1, job="other"),
        results(0, 1, duration_us=1),
    ],
)
def test_a_process_may_only_answer_what_it_was_asked(wrong: TaskResults) -> None:
    seat = Seat(1)
    seat.enqueue(work(0, 1))
    sent(seat)
    with pytest.raises(ProtocolError, match="not its next"):
        seat.finish(wrong)


def test_the_page_is_believed_only_where_it_fits() -> None:
    seat = Seat(1)
    seat.enqueue(work(*range(500)))
    sent(seat)
    seat.finish(results(0, duration_us=20))
    sent(seat)

    def task(serial: int, index: int) -> int | None:
        found = seat.task_of(RunningTask(serial, 0, index, 0))
        return found[1].index if found else None

    assert task(2, 1) == 1
    assert task(150, 149) == 149
    assert task(150, 7) is None
    assert task(1, 0) is None
    assert task(999, 998) is None
    assert seat.task_of(None) is None


def test_the_next_in_hand_is_what_has_not_been_answered() -> None:
    seat = Seat(1)
    assert seat.next_in_hand() is None
    seat.enqueue(work(3, 4))
    assert seat.next_in_hand() is None
    sent(seat)
    assert seat.next_in_hand() == TaskRef("job", 0, 3)


def test_cancelled_tasks_leave_the_queue_with_their_payloads() -> None:
    seat = Seat(1)
    seat.enqueue(work(*range(4)))
    seat.enqueue(work(4))
    assert sent(seat) == [[0]]
    gone = seat.cancel("job", 0, {1, 3, 4, 9})
    assert gone == [TaskRef("job", 0, index) for index in (1, 3, 4)]
    assert not seat.has_unwanted
    seat.finish(results(0, duration_us=10))
    (rest,) = list(seat.next_batches())
    assert ([call.index for call in rest.calls], rest.frame().buffers) == ([2], [b"p2"])
    assert seat.recall(9) == []


def test_cancelled_tasks_in_hand_are_unwanted_until_they_are_out_of_it() -> None:
    seat = Seat(1)
    seat.enqueue(work(0, 1))
    sent(seat)
    assert seat.cancel("other", 0, {0}) == seat.cancel("job", 1, {0}) == []
    assert not seat.has_unwanted
    assert seat.cancel("job", 0, {0}) == []
    assert seat.is_unwanted(TaskRef("job", 0, 0))
    assert not seat.is_unwanted(TaskRef("job", 0, 1))
    seat.finish(results(0, duration_us=10))
    assert not seat.has_unwanted
    sent(seat)
    seat.cancel("job", 0, {1})
    seat.vacate()
    assert not seat.has_unwanted


def test_what_needs_a_dropped_bundle_leaves_the_queue_but_not_the_hands_of_the_process() -> None:
    seat, other = Seat(1), "1" * 64

    def is_meant(order: RunTasks) -> bool:
        return (order.job, order.digest) == ("job", DIGEST)

    seat.enqueue(work(0, 1))
    seat.enqueue(work(2, 3, digest=other))
    seat.enqueue(work(4, job="another"))
    assert sent(seat) == [[0]]
    assert seat.drop_orders(is_meant) == [TaskRef("job", 0, 1)]
    assert seat.drop_orders(is_meant) == []
    seat.finish(results(0, duration_us=50_000))
    assert sent(seat) == [[2]]
