"""Two processes that show each other what they do not send; here both ends are in one."""

from __future__ import annotations

import os
import socket
import tempfile

import msgspec
import pytest

from midas_mp import limits
from midas_mp.blobs import peers, pool
from midas_mp.blobs.peers import PeerBlobs
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ProtocolError
from midas_mp.wire.messages import BlobRef, ReleaseBlobs

BLOB = limits.BLOB_BYTES_MIN


class Ends:
    def __init__(self, *, send_buffer_bytes: int = 0) -> None:
        self.sockets = peers.socketpair()
        if send_buffer_bytes:
            for sock in self.sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.began = 0
        self.one, self.other = (PeerBlobs(sock, self._began) for sock in self.sockets)

    def _began(self) -> None:
        self.began += 1

    def held_count(self) -> int:
        """Of what is kept for the other end."""
        return len(self.one._showing._held)


@pytest.fixture
def make():
    made = []

    def make(**options):
        made.append(Ends(**options))
        return made[-1]

    yield make
    for ends in made:
        ends.one.close()
        ends.other.close()


def used_bytes():
    return pool._of_this_process.get().used_bytes


def test_what_one_refers_to_the_other_reads_in_place(make):
    ends = make()
    shared = pool.share(os.urandom(BLOB))
    seen = ends.other.resolve(ends.one.refer(shared))
    assert bytes(seen) == bytes(shared)
    assert seen.readonly
    shared[:4] = b"same"
    assert bytes(seen[:4]) == b"same"


def test_it_stays_until_nobody_reads_it(make):
    ends = make()
    used = used_bytes()
    seen = ends.other.resolve(ends.one.refer(os.urandom(BLOB)))
    part = seen[7:]
    del seen
    ends.other.say_released()
    ends.one.listen()
    assert (ends.held_count(), used_bytes()) == (1, used + BLOB)
    assert ends.other.is_reading
    del part
    ends.other.say_released()
    ends.one.listen()
    assert (ends.held_count(), used_bytes()) == (0, used)
    assert not ends.other.is_reading


def test_both_show_and_both_read(make):
    ends = make()
    there, back = os.urandom(BLOB), os.urandom(BLOB)
    assert bytes(ends.other.resolve(ends.one.refer(there))) == there
    assert bytes(ends.one.resolve(ends.other.refer(back))) == back
    assert ends.began == 2


def test_what_comes_from_one_is_shown_on_without_a_copy(make):
    """As a host shows its workers what its program gave it."""
    ends, further = make(), make()
    used = used_bytes()
    seen = ends.other.resolve(ends.one.refer(os.urandom(BLOB)))
    far = further.other.resolve(further.one.refer(seen))
    assert bytes(far) == bytes(seen)
    assert used_bytes() == used + BLOB
    del seen
    ends.other.say_released()
    ends.one.listen()
    assert ends.held_count() == 1
    del far
    further.other.say_released()
    further.one.listen()
    ends.other.say_released()
    ends.one.listen()
    assert (ends.held_count(), used_bytes()) == (0, used)


def test_who_does_not_listen_hears_it_later(make):
    ends = make(send_buffer_bytes=32 * limits.KB)
    shared = pool.share(bytes(BLOB))
    for _ in range(5):
        refs = [ends.one.refer(shared) for _ in range(limits.BLOB_REFS_MAX)]
        views = [ends.other.resolve(ref) for ref in refs]
        views.clear()
        ends.other.say_released()
    assert ends.other.is_reading
    while ends.other.is_reading:
        assert ends.one.listen()
        ends.other.say_released()
    assert ends.one.listen()
    assert ends.held_count() == 0


def test_a_pool_that_is_no_more_is_forgotten(make):
    ends = make()
    file, fd = SharedFile.create("test", BLOB, is_writable=True)
    os.close(fd)
    view = file.view(0, BLOB, lambda *_: None)
    view[:4] = b"gone"
    del file
    seen = ends.other.resolve(ends.one.refer(view))
    assert bytes(seen[:4]) == b"gone"
    (number,) = ends.other._pools
    del seen, view
    ends.other.say_released()
    ends.one.listen()
    ends.one.resolve(ends.other.refer(os.urandom(BLOB)))
    ends.one.say_released()
    ends.other.listen()
    assert number not in ends.other._pools


def test_an_end_that_closes_has_gone(make):
    ends = make()
    held = ends.one.refer(os.urandom(BLOB))
    assert held is not None
    ends.other.close()
    assert not ends.one.listen()
    assert ends.one.refer(os.urandom(BLOB)) is None
    ends.one.say_released()
    ends.one.close()
    assert ends.held_count() == 0


def test_what_was_seen_outlives_the_connection(make):
    ends = make()
    data = os.urandom(BLOB)
    seen = ends.other.resolve(ends.one.refer(data))
    ends.other.close()
    assert bytes(seen) == data


def test_a_reference_to_nothing_is_refused(make):
    ends = make()
    with pytest.raises(ProtocolError, match="pool 77, whose file never came"):
        ends.other.resolve(BlobRef(77, 0, 1))
    ref = ends.one.refer(os.urandom(BLOB))
    with pytest.raises(ProtocolError, match="a reference to"):
        ends.other.resolve(BlobRef(ref.pool, limits.POOL_BYTES_MAX, 1))


def test_what_is_no_release_is_refused(make):
    ends = make()
    ends.sockets[0].send(b"\xc1")
    with pytest.raises(ProtocolError, match="not a release"):
        ends.other.listen()
    ends.sockets[0].send(msgspec.msgpack.encode(ReleaseBlobs([BlobRef(5, 0, 1)])))
    with pytest.raises(ProtocolError, match="released 0 of pool 5, not held there"):
        ends.other.listen()


def test_a_file_whose_size_may_change_is_refused(make):
    ends = make()
    with tempfile.TemporaryFile() as file:
        file.truncate(BLOB)
        socket.send_fds(ends.sockets[0], [bytes(8)], [file.fileno()])
        with pytest.raises(ProtocolError, match="seal"):
            ends.other.listen()
        socket.send_fds(ends.sockets[0], [b"7"], [file.fileno()])
        with pytest.raises(ProtocolError, match="a pool without a number"):
            ends.other.listen()


def test_a_file_that_cannot_be_mapped_is_said(make):
    ends = make()
    file = SharedFile.create("test", BLOB, is_writable=True)[1]
    write_only = os.open(f"/proc/self/fd/{file}", os.O_WRONLY)
    socket.send_fds(ends.sockets[0], [bytes(8)], [write_only])
    with pytest.raises(ProtocolError, match="of the other end: cannot map 65536 bytes"):
        ends.other.listen()
    os.close(write_only)
    os.close(file)
