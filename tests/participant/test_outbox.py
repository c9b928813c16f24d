"""What a node keeps while no host listens."""

from __future__ import annotations

import pytest

from midas_mp import limits
from midas_mp.participant.outbox import Outbox
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Outcome, Status, TaskPrinted, TaskProgress, TaskResults


def printed(text: bytes, *, channel: int = 1, job: str = "job") -> Frame:
    return Frame(channel, TaskPrinted(job, 0, 0, "laptop-000"), [text])


def result(*indices: int, channel: int = 1, job: str = "job") -> Frame:
    outcomes = [Outcome(index, 0, Status.OK, 1) for index in indices]
    return Frame(channel, TaskResults(job, 0, "laptop-000", outcomes), [b"r"] * len(indices))


PROGRESS = Frame(1, TaskProgress("job", 0, 0, 0.5))


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """With room for two lines."""
    monkeypatch.setattr(limits, "OUTPUT_BACKLOG_BYTES_MAX", 1_200)
    return Outbox()


def test_what_is_kept_comes_in_its_order_and_once(outbox: Outbox) -> None:
    frames = [printed(b"a"), result(0), printed(b"b"), result(1)]
    outbox.keep(frames[:1])
    outbox.keep([PROGRESS, *frames[1:]])
    assert outbox.take([1]) == frames
    assert outbox.take([1]) == []


def test_channels_that_are_not_asked_for_stay(outbox: Outbox) -> None:
    here, there = result(0), result(1, channel=2)
    outbox.keep([here, there])
    assert outbox.take([1, 3]) == [here]
    assert outbox.take([2]) == [there]


def test_prints_over_the_bound_leave_a_line_in_their_place(outbox: Outbox) -> None:
    lines = [printed(b"line %d" % number) for number in range(5)]
    other = printed(b"elsewhere", channel=2)
    outbox.keep([*lines[:4], result(0), lines[4], other, result(1)])
    *first, gap, zero, one = outbox.take([1])
    assert (first, zero, one) == (lines[:2], result(0), result(1))
    assert gap.message == lines[2].message
    assert gap.buffers == [b"... 18 bytes of output were dropped: no host was there"]
    (gap,) = outbox.take([2])
    assert gap.buffers == [b"... 9 bytes of output were dropped: no host was there"]
    outbox.keep(lines[:2])
    assert outbox.take([1]) == lines[:2], "there is room again"


def test_results_are_never_dropped(outbox: Outbox) -> None:
    results = [result(index) for index in range(1_000)]
    outbox.keep([printed(b"x" * 5_000), *results])
    assert outbox.result_count == 1_000
    assert outbox.take([1])[1:] == results
    assert outbox.result_count == 0


def test_a_job_that_is_over_is_dropped_with_its_prints(outbox: Outbox) -> None:
    kept = printed(b"kept", job="other")
    outbox.keep([printed(b"x"), printed(b"x"), printed(b"x"), result(0, 1), result(2, job="other")])
    outbox.drop_job("job")
    assert outbox.result_count == 1
    outbox.keep([kept])
    assert outbox.take([1]) == [result(2, job="other"), kept]
