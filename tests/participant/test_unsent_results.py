"""What a process has not sent is read by its parent, or not at all."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.participant.unsent_results import UnsentResult, UnsentResults
from midas_mp.wire.local import BlobRef
from midas_mp.wire.messages import Status

OFFSET = 64
SIZE = OFFSET + limits.UNSENT_RESULTS_BYTES

Ends = tuple[UnsentResults, UnsentResults]


@pytest.fixture
def shared() -> Iterator[mmap.mmap]:
    with mmap.mmap(-1, SIZE + 64) as memory:
        yield memory


@pytest.fixture
def ends(shared: mmap.mmap) -> Ends:
    """The process' and the parent's."""
    return UnsentResults(shared, OFFSET), UnsentResults(shared, OFFSET)


def test_the_parent_reads_what_the_process_added_since_it_began(ends: Ends) -> None:
    process, parent = ends
    process.begin(7)
    assert process.add(Status.OK, 3, [b"\x01"])
    assert process.add(Status.FAILED, 2**40, [b"why", b"", b"more"])
    assert process.add(Status.OK, 0, [b""])
    assert parent.read(7, 10) == [
        UnsentResult(Status.OK, 3, [b"\x01"]),
        UnsentResult(Status.FAILED, 2**40, [b"why", b"", b"more"]),
        UnsentResult(Status.OK, 0, [b""]),
    ]
    assert len(parent.read(7, 9)) == 2
    process.begin(10)
    assert process.add(Status.OK, 5, [b"next"])
    assert parent.read(7, 10) == []
    assert parent.read(10, 11) == [UnsentResult(Status.OK, 5, [b"next"])]


def test_nothing_is_read_of_what_is_not_known(ends: Ends) -> None:
    process, parent = ends
    assert parent.read(1, 2) == []
    process.begin(7)
    process.add(Status.OK, 3, [b"\x01"])
    assert parent.read(7, 7) == parent.read(7, 6) == parent.read(6, 8) == parent.read(8, 9) == []
    assert parent.read(7, 7 + limits.TASKS_PER_FRAME_MAX + 1) == []
    process.hide()
    assert parent.read(7, 8) == []


@pytest.mark.parametrize(
    "payload",
    [
        [BlobRef(1, 0, 65_536)],
        [b"data", BlobRef(1, 0, 65_536)],
        [memoryview(b"data")],
        [b"x" * limits.UNSENT_RESULTS_BYTES],
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_the_rest_as_it_was(
    ends: Ends, payload: list
) -> None:
    process, parent = ends
    process.begin(1)
    assert process.add(Status.OK, 1, [b"first"])
    assert not process.add(Status.OK, 1, payload)
    assert parent.read(1, 2) == [UnsentResult(Status.OK, 1, [b"first"])]


def test_it_is_filled_to_the_last_byte_and_not_beyond(shared: mmap.mmap, ends: Ends) -> None:
    process, parent = ends
    shared[:OFFSET] = b"\xee" * OFFSET
    shared[SIZE:] = b"\xee" * 64
    process.begin(1)
    count = 0
    while process.add(Status.OK, 1, [b"y" * 4_000]):
        count += 1
    assert limits.UNSENT_RESULTS_BYTES - 8 - count * 4_013 < 4_013
    left = limits.UNSENT_RESULTS_BYTES - 8 - count * 4_013 - 13
    assert process.add(Status.OK, 1, [b"z" * left])
    assert not process.add(Status.OK, 1, [b""])
    assert parent.read(1, count + 2)[-1].payload == [b"z" * left]
    assert shared[:OFFSET] == b"\xee" * OFFSET
    assert shared[SIZE:] == b"\xee" * 64


def test_more_buffers_than_a_frame_takes_are_not_read(ends: Ends) -> None:
    process, parent = ends
    process.begin(1)
    process.add(Status.OK, 1, [b""] * limits.PAYLOAD_BUFFERS_MAX)
    assert len(parent.read(1, 2)) == 1
    process.add(Status.OK, 1, [b""])
    assert parent.read(1, 3) == []


def test_a_time_that_no_message_can_say_is_not_read(ends: Ends) -> None:
    process, parent = ends
    process.begin(1)
    process.add(Status.OK, 2**53, [b""])
    assert parent.read(1, 2) == [UnsentResult(Status.OK, 2**53, [b""])]
    process.begin(1)
    process.add(Status.OK, 2**53 + 1, [b""])
    assert parent.read(1, 2) == []


@given(st.binary(max_size=200), st.integers(1, limits.TASKS_PER_FRAME_MAX))
def test_whatever_stands_there_is_read_without_harm(data: bytes, count: int) -> None:
    with mmap.mmap(-1, SIZE) as memory:
        process, parent = UnsentResults(memory, OFFSET), UnsentResults(memory, OFFSET)
        process.begin(1)
        memory[OFFSET + 8 : OFFSET + 8 + len(data)] = data
        found = parent.read(1, 1 + count)
        assert len(found) in {0, count}
        buffers = [buffer for each in found for buffer in each.payload]
        assert sum(map(len, buffers)) <= limits.UNSENT_RESULTS_BYTES
        assert len(buffers) <= limits.PAYLOAD_BUFFERS_MAX
