"""Batches are cut, and every payload stays with its call."""

from __future__ import annotations

from midas_mp.participant.call_batch import CallBatch
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Call, RunTasks, TaskRef


def work(*counts: int) -> Frame:
    """Calls of so many buffers each."""
    calls = [Call(index, 0, count) for index, count in enumerate(counts)]
    order = RunTasks("job", 3, 1000, "0" * 64, "execute_code", calls)
    buffers = [b"%d.%d" % (index, k) for index, count in enumerate(counts) for k in range(count)]
    return Frame(1, order, buffers)


def content(batch: CallBatch) -> tuple[list[int], list[bytes]]:
    frame = batch.frame()
    assert isinstance(frame.message, RunTasks)
    return [call.index for call in frame.message.calls], list(frame.buffers)


def test_a_batch_keeps_its_own_copy_of_the_calls() -> None:
    frame = work(1, 1)
    CallBatch.of(frame).take_first(1)
    assert isinstance(frame.message, RunTasks)
    assert [call.index for call in frame.message.calls] == [0, 1]
    assert frame.buffers == [b"0.0", b"1.0"]


def test_the_first_calls_are_taken_with_all_their_buffers() -> None:
    batch = CallBatch.of(work(2, 0, 1, 3))
    assert content(batch.take_first(2)) == ([0, 1], [b"0.0", b"0.1"])
    assert content(batch) == ([2, 3], [b"2.0", b"3.0", b"3.1", b"3.2"])


def test_the_last_calls_are_dropped_with_all_their_buffers() -> None:
    batch = CallBatch.of(work(1, 2, 0, 3))
    assert batch.drop_last(2) == [TaskRef("job", 3, 2), TaskRef("job", 3, 3)]
    assert content(batch) == ([0, 1], [b"0.0", b"1.0", b"1.1"])


def test_single_calls_are_dropped_wherever_they_are() -> None:
    batch = CallBatch.of(work(1, 2, 0, 3))
    assert batch.drop({1, 2, 9}) == [TaskRef("job", 3, 1), TaskRef("job", 3, 2)]
    assert content(batch) == ([0, 3], [b"0.0", b"3.0", b"3.1", b"3.2"])
    assert batch.refs() == [TaskRef("job", 3, 0), TaskRef("job", 3, 3)]
