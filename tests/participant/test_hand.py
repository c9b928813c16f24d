"""What a process holds: answered in order, taken early, asked back, taken back, returned."""

from __future__ import annotations

import pytest

from midas_mp.errors import ProtocolError
from midas_mp.participant.hand import Hand
from midas_mp.participant.status_page import RunningTask
from midas_mp.participant.unsent_results import UnsentResult
from midas_mp.wire.messages import (
    Call,
    Outcome,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
)


def hand(*frames: range, job: str = "job") -> Hand:
    made = Hand()
    for indices in frames:
        add(made, *indices, job=job)
    return made


def add(to: Hand, *indices: int, job: str = "job") -> None:
    calls = [Call(index, attempt=2) for index in indices]
    to.add(RunTasks(job, 4, 100, "0" * 64, "execute_code", calls), calls)


def at(serial: int, index: int) -> RunningTask:
    return RunningTask(serial, 4, index, 0)


def results(*indices: int) -> TaskResults:
    return TaskResults("job", 4, "w", [Outcome(index, 2, Status.OK, 10) for index in indices])


def refs(*indices: int) -> list[TaskRef]:
    return [TaskRef("job", 4, index) for index in indices]


def unsent(count: int) -> list[UnsentResult]:
    return [UnsentResult(Status.OK, 7, [b"a", b"b"])] * count


def test_calls_are_counted_over_all_frames() -> None:
    held = hand(range(10, 13), range(20, 22))
    assert (held.first_serial, held.frame_count, held.job) == (1, 2, "job")
    found = held.find(at(5, 21))
    assert found is not None
    assert (found[0].round, found[1].index) == (4, 21)
    assert held.find(at(5, 20)) is held.find(at(6, 22)) is None
    held.finish(results(10, 11, 12, 20))
    assert (held.first_serial, held.refs(), held.has_several) == (5, refs(21), False)
    held.finish(results(21))
    assert (held.first_serial, held.first(), held.job) == (6, None, "")
    add(held, 0, 1)
    assert held.find(at(6, 0)) is not None
    assert held.has_several


def test_what_was_taken_early_is_said_once_more_by_the_process() -> None:
    held = hand(range(4), range(4, 6))
    early = held.take_early(unsent(2), "laptop-000")
    assert early == TaskResults(
        "job", 4, "laptop-000", [Outcome(index, 2, Status.OK, 7, 2) for index in (0, 1)]
    )
    assert held.refs() == refs(2, 3, 4, 5)
    assert held.find(at(3, 2)) is not None
    assert held.finish(results(0)) == 1
    assert held.finish(results(1, 2)) == 1
    assert held.finish(results(3)) == 0
    assert held.refs() == refs(4, 5)


def test_another_result_in_the_place_of_one_taken_early_is_a_breach() -> None:
    held = hand(range(4))
    held.take_early(unsent(2), "w")
    with pytest.raises(ProtocolError, match="result of task 2"):
        held.finish(results(2))


def test_what_was_asked_back_is_taken_back_while_the_same_call_runs() -> None:
    held = hand(range(3), range(3, 5))
    assert held.take_back(at(2, 1)) == [], "nothing was asked back"
    assert not held.is_asked_back
    assert held.ask_back(at(2, 1)) == 5
    assert held.ask_back(at(2, 1)) == 0, "that has been asked"
    assert held.is_asked_back
    assert held.take_back(at(2, 1)) == refs(2, 3, 4)
    assert held.refs() == refs(0, 1)
    assert held.take_back(at(2, 1)) == []
    held.finish(results(0, 1))
    assert not held.is_asked_back
    add(held, 3, 4)
    assert held.returned(TasksReturned(refs(2))) == []
    assert held.returned(TasksReturned(refs(3, 4))) == []
    assert held.refs() == refs(3, 4), "sent anew, which is not what was returned"
    assert held.find(at(6, 3)) is not None
    held.finish(results(3, 4))


def test_what_the_process_began_in_the_moment_between_stays_in_its_hands() -> None:
    held = hand(range(5))
    assert held.ask_back(at(1, 0)) == 5
    held.finish(results(0))
    assert held.take_back(at(3, 2)) == refs(3, 4)
    held.finish(results(1, 2))
    assert held.returned(TasksReturned(refs(3, 4))) == []
    assert held.refs() == []


def test_what_the_process_returns_before_it_was_taken_back_is_given_back_then() -> None:
    held = hand(range(3), range(3, 5))
    assert held.ask_back(at(1, 0)) == 5
    held.finish(results(0, 1))
    assert held.is_asked_back, "it may be at any of them"
    assert held.returned(TasksReturned(refs(2))) == refs(2)
    assert held.returned(TasksReturned(refs(3, 4))) == refs(3, 4)
    assert not held.is_asked_back
    add(held, 9)
    assert held.take_back(at(6, 9)) == []
    assert held.refs() == refs(9)


def test_what_was_sent_later_is_not_taken_back_with_it() -> None:
    held = hand(range(2))
    held.ask_back(at(1, 0))
    held.finish(results(0))
    held.returned(TasksReturned(refs(1)))
    add(held, 5, 6)
    assert held.take_back(at(3, 5)) == []
    assert held.ask_back(at(3, 5)) == 4
    assert held.take_back(at(3, 5)) == refs(6)


def test_the_last_call_has_nothing_behind_it() -> None:
    held = hand(range(3))
    assert held.ask_back(at(3, 2)) == 0
    assert not held.is_asked_back


@pytest.mark.parametrize("wrong", [refs(1), refs(2), refs(7), [TaskRef("other", 4, 0)]])
def test_what_nobody_asked_back_cannot_be_returned(wrong: list[TaskRef]) -> None:
    held = hand(range(2))
    with pytest.raises(ProtocolError, match="nobody asked back"):
        held.returned(TasksReturned(wrong))
    held.ask_back(at(1, 0))
    held.finish(results(0, 1))
    add(held, 2, 7)
    with pytest.raises(ProtocolError, match="nobody asked back"):
        held.returned(TasksReturned(wrong))
