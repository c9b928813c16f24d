from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from midas_mp import limits
from midas_mp.blobs.exchange import ParentBlobs
from midas_mp.blobs.mapping import locate
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ProtocolError
from midas_mp.participant.releases import idle, releases, take_releases
from midas_mp.wire.framing import Frame
from midas_mp.wire.local import BlobRef, ReleaseBlobs, ResultsStored
from midas_mp.wire.messages import Outcome, Status, TaskResults

LARGE = bytes(limits.BLOB_BYTES_MIN)


@pytest.fixture
def blobs() -> Iterator[ParentBlobs]:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    outbound, fd = SharedFile.create("outbound", 2**20, is_writable=False)
    blobs = ParentBlobs(mine, outbound)
    yield blobs
    blobs.close()
    theirs.close()
    os.close(fd)


def of_process(blobs: ParentBlobs) -> memoryview:
    """Something that the process wrote."""
    return blobs.resolve(BlobRef(blobs._outbound.id, 0, limits.BLOB_BYTES_MIN))


def results(*outcomes: tuple[Status, int]) -> TaskResults:
    made = [Outcome(index, 0, status, 1, count) for index, (status, count) in enumerate(outcomes)]
    return TaskResults("job", 0, "laptop-000", made)


def test_what_is_not_read_any_more_is_one_frame(blobs: ParentBlobs) -> None:
    views = [of_process(blobs), of_process(blobs)]
    assert list(releases(blobs)) == []
    views.clear()
    (frame,) = releases(blobs)
    assert (frame.channel, len(frame.message.refs)) == (0, 2)
    assert list(releases(blobs)) == list(releases(None)) == []


def test_a_process_is_told_now_and_then_what_lies_idle(blobs: ParentBlobs) -> None:
    view = of_process(blobs)
    assert idle(blobs) == idle(None) == []
    del view
    (frame,) = idle(blobs)
    assert (frame.channel, len(frame.message.refs)) == (0, 1)


def test_what_the_process_read_is_noted_and_nobody_elses_business(blobs: ParentBlobs) -> None:
    ref = blobs.refer(LARGE)
    others = [Frame(0, ResultsStored("job", 0, [])), Frame(0, results((Status.OK, 1)), [b"r"])]
    released = Frame(0, ReleaseBlobs([ref]))
    assert take_releases(blobs, [others[0], released, others[1]]) == others
    with pytest.raises(ProtocolError, match="not held"):
        take_releases(blobs, [released])
    with pytest.raises(ProtocolError, match="there is none"):
        take_releases(None, [released])


@pytest.mark.parametrize(
    ("message", "in_place"),
    [
        (results((Status.OK, 2), (Status.OK, 0), (Status.OK, 3)), [0, 1, 0, 1, 1]),
        (results((Status.FAILED, 1), (Status.FAILED, 3), (Status.OK, 2)), [0, 0, 0, 1, 0, 1]),
        (ResultsStored("job", 0, []), [0]),
    ],
)
def test_what_parsers_read_is_out_of_the_reach_of_who_sent_it(
    blobs: ParentBlobs, message: TaskResults, in_place: list[int]
) -> None:
    """A process that broke out of Lua may change what it has in shared memory at any time."""
    views = [of_process(blobs) for _ in in_place]
    (frame,) = take_releases(blobs, [Frame(0, message, views)])
    assert [locate(buffer) is not None for buffer in frame.buffers] == list(map(bool, in_place))
    assert list(map(bytes, frame.buffers)) == [LARGE] * len(in_place)
