from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.participant.frame_socket import COPY_BYTES_MAX, FrameSocket
from midas_mp.wire.framing import PREFIX
from midas_mp.wire.messages import EndJob, WorkerReady


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
