"""Two processes that show each other what they do not send; mostly both ends are in one here."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
from pathlib import Path

import msgspec
import pytest

from midas_mp import limits
from midas_mp.blobs import farewells, memfd, peers, pool
from midas_mp.blobs.peers import PeerBlobs
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ConnectionLost, ProtocolError
from midas_mp.wire.local import BlobRef, ReleaseBlobs

BLOB = limits.BLOB_BYTES_MIN


class Ends:
    def __init__(self, *, send_buffer_bytes: int = 0) -> None:
        sockets = peers.socketpair()
        if send_buffer_bytes:
            for sock in sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        self.began = 0
        self.one, self.other = (PeerBlobs(sock, self._began) for sock in sockets)

    def _began(self) -> None:
        self.began += 1

    def held_count(self) -> int:
        """Of what is kept for the other end."""
        return len(self.one._ends.ear.showing._held)


@pytest.fixture
def make():
    made = []

    def make(**options):
        made.append(Ends(**options))
        return made[-1]

    yield make
    for ends in made:
        ends.one.part()
        ends.other.part()


class Process:
    """A forked process that does something, and then nothing until it is killed.

    Args:
        does: is given how to hear what is said to the process, and how to answer; what it returns
            stays alive.
    """

    def __init__(self, does):
        self._mine, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(20)
            with contextlib.suppress(BaseException):
                kept = does(
                    lambda: _decode(theirs.recv(1000)),
                    lambda ref=None: theirs.send(msgspec.msgpack.encode(ref)),
                )
                signal.pause()
                del kept
            os._exit(1)
        theirs.close()

    def say(self, ref: BlobRef) -> None:
        self._mine.send(msgspec.msgpack.encode(ref))

    def answer(self) -> BlobRef | None:
        return _decode(self._mine.recv(1000))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._mine.close()


_decode = msgspec.msgpack.Decoder(BlobRef | None).decode


def open_count():
    return len(list(Path("/proc/self/fd").iterdir()))


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
    (number,) = ends.other._ends.ear.pools
    del seen, view
    ends.other.say_released()
    ends.one.listen()
    ends.other.listen()
    assert number not in ends.other._ends.ear.pools


def test_an_end_that_parts_shows_nothing_more(make):
    ends = make()
    assert ends.one.refer(os.urandom(BLOB)) is not None
    ends.other.part()
    ends.other.part()
    assert (ends.other.listen(), ends.other.is_reading, ends.other.fileno()) == (False, False, -1)
    assert ends.other.refer(os.urandom(BLOB)) is None
    assert not ends.one.listen()
    assert ends.one.refer(os.urandom(BLOB)) is None
    ends.one.say_released()
    ends.other.say_released()
    ends.other.greet()
    ends.one.part()


def test_who_is_not_expected_is_shown_nothing_before_it_says_something():
    one, other = peers.socketpair()
    host = PeerBlobs(one, lambda: None)
    guest = PeerBlobs(other, lambda: None, is_expected=False)
    assert guest.refer(os.urandom(BLOB)) is None
    host.greet()
    assert guest.listen()
    assert host.resolve(guest.refer(bytes(BLOB))) == bytes(BLOB)
    guest.part()
    host.part()


def test_what_is_read_outlives_the_connection_and_is_given_back_in_the_end(make):
    ends = make()
    used = used_bytes()
    first, second = os.urandom(BLOB), os.urandom(BLOB)
    views = [ends.other.resolve(ends.one.refer(each)) for each in (first, second)]
    ends.one.part()
    assert used_bytes() == used + 2 * BLOB
    ends.other.part()
    assert used_bytes() == used + 2 * BLOB
    assert [bytes(view) for view in views] == [first, second]
    del views[0]
    assert used_bytes() == used + BLOB
    assert bytes(views[0]) == second
    views.clear()
    assert used_bytes() == used
    assert not farewells._farewells


def test_who_goes_without_a_word_gives_back_all():
    ours, theirs = peers.socketpair()
    mine = PeerBlobs(ours, lambda: None)
    used = used_bytes()

    def read(said, answer):
        end = PeerBlobs(theirs, lambda: None)
        view = end.resolve(said())
        answer()
        return end, view

    other = Process(read)
    theirs.close()
    other.say(mine.refer(os.urandom(BLOB)))
    other.answer()
    mine.part()
    assert used_bytes() == used + BLOB
    other.kill()
    assert used_bytes() == used


def test_what_was_shown_on_stays_when_who_passed_it_on_dies():
    """A result that a program reads stays though its host is killed, until it is let go."""
    (made, seen_first), (shown, seen_last) = peers.socketpair(), peers.socketpair()
    node, program = (PeerBlobs(sock, lambda: None) for sock in (made, seen_last))

    def pass_on(said, answer):
        first, second = (PeerBlobs(sock, lambda: None) for sock in (seen_first, shown))
        answer(second.refer(first.resolve(said())))
        return first, second

    host = Process(pass_on)
    seen_first.close()
    shown.close()
    used = used_bytes()
    data = os.urandom(BLOB)
    host.say(node.refer(data))
    view = program.resolve(host.answer())
    host.kill()
    node.part()
    program.part()
    assert used_bytes() == used + BLOB
    assert bytes(view) == data
    del view
    assert used_bytes() == used


def test_a_forked_process_says_nothing_for_its_parent(make):
    ends = make()
    used = used_bytes()
    views = [ends.other.resolve(ends.one.refer(os.urandom(BLOB)))]
    ends.other.part()

    def drop(_, answer):
        views.clear()
        answer()

    child = Process(drop)
    child.answer()
    ends.one.listen()
    assert ends.held_count() == 1
    child.kill()
    views.clear()
    ends.one.listen()
    assert (ends.held_count(), used_bytes()) == (0, used)


def test_nothing_is_left_open(make):
    before = open_count()
    for _ in range(3):
        ends = Ends()
        views = [
            ends.other.resolve(ends.one.refer(os.urandom(BLOB))),
            ends.one.resolve(ends.other.refer(os.urandom(BLOB))),
        ]
        ends.one.part()
        ends.other.part()
        views.clear()
        del ends
    farewells.sweep()
    assert open_count() == before


def test_a_reference_to_nothing_is_refused(make):
    ends = make()
    with pytest.raises(ProtocolError, match="pool 77, whose file never came"):
        ends.other.resolve(BlobRef(77, 0, 1))
    ref = ends.one.refer(os.urandom(BLOB))
    with pytest.raises(ProtocolError, match="a reference to"):
        ends.other.resolve(BlobRef(ref.pool, limits.POOL_BYTES_MAX, 1))


def test_what_is_no_release_is_refused(make):
    ends = make()
    ends.one._ends.channel.send(b"\xc1")
    with pytest.raises(ProtocolError, match="not a release"):
        ends.other.listen()
    ends.one._ends.channel.send(msgspec.msgpack.encode(ReleaseBlobs([BlobRef(5, 0, 1)])))
    with pytest.raises(ProtocolError, match="released 0 of pool 5, not held there"):
        ends.other.listen()


@pytest.mark.parametrize(
    ("seals", "message"), [(0, "seal"), (memfd.SIZE_IS_FIXED, "without a number")]
)
def test_a_file_that_may_change_or_comes_alone_is_refused(make, seals, message):
    ends = make()
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(fd, memfd.F_ADD_SEALS, seals)
    before = open_count()
    socket.send_fds(ends.one._ends.channel, [bytes(8)], [fd] * (1 if seals else 2))
    with pytest.raises(ProtocolError, match=message):
        ends.other.listen()
    assert open_count() == before
    os.close(fd)


def test_a_file_that_this_process_cannot_map_is_copied_from(make):
    ends = make()
    size = 64 * limits.GB
    file, fd = SharedFile.create("test", size, is_writable=True)
    os.close(fd)
    data = os.urandom(BLOB)
    view = file.view(BLOB, BLOB, lambda *_: None)
    view[:] = data
    ref = ends.one.refer(view)
    bounds = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2 * size, bounds[1]))
    try:
        seen = ends.other.resolve(ref)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, bounds)
    view[:4] = b"copy"
    assert bytes(seen) == data
    assert ends.other.is_reading
    ends.other.say_released()
    ends.one.listen()
    assert ends.held_count() == 0
    with pytest.raises(ProtocolError, match="a reference to 1 bytes at"):
        ends.other.resolve(BlobRef(ref.pool, size, 1))


def test_a_file_that_cannot_be_read_is_refused(make):
    ends = make()
    _, fd = SharedFile.create("test", BLOB, is_writable=True)
    write_only = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY)
    os.close(fd)
    socket.send_fds(ends.one._ends.channel, [(7).to_bytes(8, "little")], [write_only, write_only])
    os.close(write_only)
    with pytest.raises(ProtocolError, match="shared memory of the other end: Bad file descriptor"):
        ends.other.resolve(BlobRef(7, 0, 1))


def test_more_pools_than_a_peer_may_have_are_neither_shown_nor_taken(make, monkeypatch):
    monkeypatch.setattr(limits, "POOLS_PER_PEER_MAX", 1)
    ends = make()
    assert ends.one.refer(os.urandom(BLOB)) is not None
    file, fd = SharedFile.create("test", BLOB, is_writable=True)
    os.close(fd)
    assert ends.one.refer(file.view(0, BLOB, lambda *_: None)) is None
    socket.send_fds(ends.one._ends.channel, [bytes(8)], [file.read_fd, file.read_fd])
    with pytest.raises(ProtocolError, match="more than 1 pools"):
        ends.other.listen()


def test_who_may_open_no_more_files_loses_the_connection(make, no_more_files):
    ends = make()
    assert ends.one.refer(os.urandom(BLOB)) is not None
    with no_more_files(), pytest.raises(ConnectionLost, match="too many open files"):
        ends.other.listen()


def test_one_that_breaks_the_rules_after_the_end_is_listened_to_no_more(make):
    ends = make()
    used = used_bytes()
    view = ends.other.resolve(ends.one.refer(os.urandom(BLOB)))
    ends.one.part()
    ends.other._ends.channel.send(b"\xc1")
    assert used_bytes() == used + BLOB
    ends.other.part()
    assert used_bytes() == used + BLOB
    del view
    assert used_bytes() == used
    assert not farewells._farewells
