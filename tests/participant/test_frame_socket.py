from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from midas_mp import limits
from midas_mp.blobs.exchange import ParentBlobs, ProcessBlobs
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ProtocolError
from midas_mp.participant.frame_socket import COPY_BYTES_MAX, FrameSocket
from midas_mp.wire.framing import PREFIX, Frame, FrameDecoder, encode, head
from midas_mp.wire.local import BlobRef, WorkerReady
from midas_mp.wire.messages import EndJob

LARGE = bytes(limits.BLOB_BYTES_MIN)


@pytest.fixture
def ends() -> Iterator[tuple[FrameSocket, FrameSocket, socket.socket]]:
    """Two ends that understand each other, and the raw socket of the second."""
    mine, theirs = socket.socketpair()
    yield FrameSocket(mine), FrameSocket(theirs), theirs
    mine.close()
    theirs.close()


Ends = tuple[FrameSocket, FrameSocket, socket.socket]


@pytest.mark.parametrize("sizes", [[], [0], [1, 0, COPY_BYTES_MAX + 1, 2], [COPY_BYTES_MAX] * 3])
def test_frames_arrive_as_they_were_sent(ends: Ends, sizes: list[int]) -> None:
    here, there, _ = ends
    buffers = [bytes([n]) * size for n, size in enumerate(sizes)]

    def send() -> None:
        there.send(EndJob("j"), buffers)
        there.send(EndJob("k"))

    sender = threading.Thread(target=send)
    sender.start()
    assert here.receive() == (EndJob("j"), buffers)
    assert here.receive() == (EndJob("k"), [])
    sender.join()


def test_the_end_between_frames_is_none_and_in_a_frame_an_error(ends: Ends) -> None:
    here, there, raw = ends
    there.send(WorkerReady(1, 3, ["luajit"]))
    raw.shutdown(socket.SHUT_WR)
    assert here.receive() == (WorkerReady(1, 3, ["luajit"]), [])
    assert here.receive() is None


@pytest.mark.parametrize("cut", [3, PREFIX.size, PREFIX.size + 2])
def test_the_end_within_a_frame_is_an_error(ends: Ends, cut: int) -> None:
    here, _, raw = ends
    raw.sendall((PREFIX.pack(20, 0) + b"abc")[:cut])
    raw.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        here.receive()


def test_a_header_over_the_limit_is_refused_by_its_number(ends: Ends) -> None:
    here, _, raw = ends
    raw.sendall(PREFIX.pack(limits.HEADER_BYTES_MAX + 1, 0))
    with pytest.raises(ProtocolError, match="over"):
        here.receive()


def test_lingering_ends_with_the_other_side_or_its_silence(ends: Ends) -> None:
    here, there, raw = ends
    there.send(EndJob("j"), [bytes(5000)])
    here.linger()
    raw.setblocking(False)
    there.send(EndJob("j"))
    raw.close()
    here.linger()


# -- shared memory -------------------------------------------------------------------------------


@pytest.fixture
def child() -> Iterator[tuple[FrameSocket, StreamSide]]:
    """A process' end with shared memory, and its parent's side of it."""
    mine, theirs = socket.socketpair()
    descriptors, taken = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    outbound, fd = SharedFile.create("outbound", 2**20, is_writable=False)
    parent = ParentBlobs(descriptors, outbound)
    process = ProcessBlobs(taken, outbound.id, fd, outbound.size_bytes)
    yield FrameSocket(theirs, process), StreamSide(mine, parent)
    for sock in (mine, theirs, taken):
        sock.close()
    parent.close()


class StreamSide:
    """The parent's end, as far as it is spoken to here."""

    def __init__(self, sock: socket.socket, blobs: ParentBlobs) -> None:
        self.blobs = blobs
        self._sock = sock
        self._decoder = FrameDecoder(None, blobs)

    def send(self, *buffers: bytes) -> None:
        pieces = encode(Frame(0, EndJob("j"), buffers), self.blobs)
        self._sock.sendall(b"".join(pieces))

    def receive(self) -> list[Frame]:
        return self._decoder.feed(self._sock.recv(2**20))


def test_large_buffers_are_views_and_their_end_is_told_with_the_next_frame(child) -> None:
    process, parent = child
    parent.send(b"small", LARGE, b"small again", LARGE)
    message, buffers = process.receive()
    assert message == EndJob("j")
    assert list(map(type, buffers)) == [bytes, memoryview, bytes, memoryview]
    assert list(map(bytes, buffers)) == [b"small", LARGE, b"small again", LARGE]
    process.flush()
    process.send(EndJob("a"))
    assert [frame.message for frame in parent.receive()] == [EndJob("a")], "all is still read"
    buffers.clear()
    process.send(EndJob("b"))
    released, answer = parent.receive()
    assert (len(released.message.refs), answer.message) == (2, EndJob("b"))


def test_where_nothing_else_is_to_be_said_a_flush_tells_it(child) -> None:
    process, parent = child
    parent.send(LARGE)
    del process.receive()[1][0]
    process.flush()
    (released,) = parent.receive()
    assert [ref.size_bytes for ref in released.message.refs] == [len(LARGE)]


def test_a_buffer_in_the_outbound_pool_goes_by_its_place(child) -> None:
    process, parent = child
    process.blobs.outbound.view(4096, 6, lambda *_: None)[:] = b"result"
    process.send(EndJob("j"), [b"small", process.blobs.place(4096, 6)])
    (frame,) = parent.receive()
    assert list(map(bytes, frame.buffers)) == [b"small", b"result"]


def test_a_reference_to_a_process_without_shared_memory_is_refused(ends: Ends) -> None:
    here, _, raw = ends
    raw.sendall(head(0, EndJob("j"), [BlobRef(1, 0, 1)]))
    with pytest.raises(ProtocolError, match="none in common"):
        here.receive()
