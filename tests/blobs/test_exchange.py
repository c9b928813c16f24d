from __future__ import annotations

import os
import socket

import pytest

from midas_mp import limits
from midas_mp.blobs import exchange, pool
from midas_mp.blobs.exchange import ParentBlobs, ProcessBlobs
from midas_mp.blobs.mapping import Mapping, locate
from midas_mp.blobs.pool import SharedFile
from midas_mp.errors import ProtocolError
from midas_mp.wire.local import BlobRef, ReleaseBlobs

BLOB = limits.BLOB_BYTES_MIN
SIZE = 16 * BLOB


class Pair:
    """Both ends, in one process."""

    def __init__(self) -> None:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.settimeout(0)
        theirs.settimeout(5)
        self.their_socket = theirs
        outbound, fd = SharedFile.create("outbound", SIZE, is_writable=False)
        self.parent = ParentBlobs(mine, outbound)
        self.process = ProcessBlobs(theirs, outbound.id, fd, SIZE)

    def write(self, offset: int, data: bytes) -> BlobRef:
        """As a script of the process does."""
        self.process.outbound.view(offset, len(data), lambda *_: None)[:] = data
        return self.process.place(offset, len(data))

    def told(self) -> list[ReleaseBlobs]:
        """What the parent hears, and obeys."""
        messages = list(self.process.releases())
        for message in messages:
            self.parent.released(message)
        return messages

    def close(self) -> None:
        self.parent.close()
        self.their_socket.close()


@pytest.fixture
def make():
    pairs: list[Pair] = []

    def start() -> Pair:
        pairs.append(Pair())
        return pairs[-1]

    yield start
    for pair in pairs:
        pair.close()


def test_what_the_parent_refers_to_the_process_reads_in_place(make):
    pair = make()
    shared = pool.share(os.urandom(BLOB))
    ref = pair.parent.refer(shared)
    seen = pair.process.resolve(ref)
    assert bytes(seen) == bytes(shared)
    assert seen.readonly
    shared[:4] = b"same"
    assert bytes(seen[:4]) == b"same"


def test_bytes_are_copied_once_and_stay_until_the_process_has_read_them(make):
    pair = make()
    data = os.urandom(BLOB)
    used = pool._of_this_process.get().used_bytes
    ref = pair.parent.refer(data)
    assert pool._of_this_process.get().used_bytes == used + BLOB
    seen = pair.process.resolve(ref)
    kept = seen[1:]
    del seen
    assert pair.told() == []
    assert bytes(kept) == data[1:]
    del kept
    assert pair.told() == [ReleaseBlobs([ref])]
    assert pool._of_this_process.get().used_bytes == used


def test_what_was_said_twice_is_released_twice(make):
    pair = make()
    used = pool._of_this_process.get().used_bytes
    shared = pool.share(bytes(BLOB))
    refs = [pair.parent.refer(shared), pair.parent.refer(shared)]
    del shared
    views = [pair.process.resolve(ref) for ref in refs]
    del views[0]
    assert pair.told() == [ReleaseBlobs(refs[:1])]
    assert pool._of_this_process.get().used_bytes == used + BLOB
    views.clear()
    assert pair.told() == [ReleaseBlobs(refs[:1])]
    assert pool._of_this_process.get().used_bytes == used


def test_what_the_process_writes_the_parent_reads_in_place(make):
    pair = make()
    ref = pair.write(BLOB, b"result")
    seen = pair.parent.resolve(ref)
    assert (bytes(seen), seen.readonly) == (b"result", True)
    assert list(pair.parent.releases()) == []
    del seen
    (message,) = pair.parent.releases()
    assert pair.process.released(message) == [ref]
    assert list(pair.parent.releases()) == []


def test_what_one_process_wrote_another_reads_in_place(make):
    one, other = make(), make()
    result = one.parent.resolve(one.write(0, b"r" * BLOB))
    ref = other.parent.refer(result)
    seen = other.process.resolve(ref)
    del result
    one.write(0, b"s")
    assert bytes(seen[:2]) == b"sr", "no copy stands between"
    assert list(one.parent.releases()) == [], "the other still reads it"
    del seen
    other.told()
    assert [m.refs for m in one.parent.releases()] == [[BlobRef(ref.pool, 0, BLOB)]]


def test_a_process_can_be_given_back_what_it_wrote(make):
    pair = make()
    result = pair.parent.resolve(pair.write(BLOB, b"r" * BLOB))
    seen = pair.process.resolve(pair.parent.refer(result))
    assert (bytes(seen[:1]), seen.readonly) == (b"r", True)


def test_what_a_lost_process_wrote_stays_as_long_as_it_is_read(make):
    one, other = make(), make()
    result = one.parent.resolve(one.write(0, b"r" * BLOB))
    one.close()
    assert bytes(result[:1]) == b"r"
    seen = other.process.resolve(other.parent.refer(result))
    del result
    assert bytes(seen[:1]) == b"r"
    count = len(other.process._pools)
    del seen
    other.told()
    (message,) = other.parent.releases()
    assert (message.refs, len(message.pools)) == ([], 1)
    other.process.released(message)
    assert len(other.process._pools) == count - 1, "the last mapping of it is gone"


def test_a_lost_process_gives_back_all_that_it_read(make):
    used = pool._of_this_process.get().used_bytes
    pair = make()
    for _ in range(10):
        assert pair.parent.refer(bytes(BLOB)) is not None
    assert pool._of_this_process.get().used_bytes == used + 10 * BLOB
    pair.close()
    assert pool._of_this_process.get().used_bytes == used
    assert pair.parent.refer(bytes(BLOB)) is None


@pytest.mark.parametrize(("offset", "size"), [(SIZE, 1), (0, SIZE + 1), (2**53, 2**53), (1, SIZE)])
def test_a_reference_beyond_the_pool_is_refused(make, offset, size):
    pair = make()
    with pytest.raises(ProtocolError, match="a pool of"):
        pair.parent.resolve(pair.process.place(offset, size))


def test_a_reference_to_another_pool_is_refused(make):
    one, other = make(), make()
    with pytest.raises(ProtocolError, match="does not write"):
        one.parent.resolve(other.process.place(0, 1))
    own = one.parent.refer(bytes(BLOB))
    with pytest.raises(ProtocolError, match="does not write"):
        one.parent.resolve(own)


def test_to_release_what_was_never_shown_is_refused(make):
    pair = make()
    ref = pair.parent.refer(bytes(BLOB))
    with pytest.raises(ProtocolError, match="not held"):
        pair.parent.released(ReleaseBlobs([BlobRef(ref.pool, ref.offset + 1, 1)]))
    pair.parent.released(ReleaseBlobs([ref]))
    with pytest.raises(ProtocolError, match="not held"):
        pair.parent.released(ReleaseBlobs([ref]))


def test_a_pool_whose_file_is_no_pool_is_refused(make, tmp_path):
    pair = make()
    with (tmp_path / "file").open("w+") as file:
        file.write("x" * 4096)
        file.flush()
        message = exchange._POOL_ID.pack(77)
        socket.send_fds(pair.parent._descriptors, [message], [file.fileno()])
    with pytest.raises(ProtocolError, match="no seals"):
        pair.process.resolve(BlobRef(77, 0, 1))
    pair.parent._descriptors.send(message)
    with pytest.raises(ProtocolError, match="never came"):
        pair.process.resolve(BlobRef(77, 0, 1))


def test_a_process_that_takes_no_descriptors_gets_bytes(make):
    pair = make()
    first = pair.parent.refer(bytes(BLOB))
    assert first is not None
    files = []
    while True:
        file, fd = SharedFile.create("many", BLOB, is_writable=True)
        os.close(fd)
        files.append(file)
        if pair.parent.refer(file.view(0, BLOB, lambda *_: None)) is None:
            break
    assert pair.parent.refer(bytes(BLOB)) == BlobRef(first.pool, first.offset + BLOB, BLOB)
    del files


def test_memory_of_somebody_else_is_copied(make):
    pair = make()
    file, fd = SharedFile.create("foreign", BLOB, is_writable=True)
    mapped = Mapping(fd, BLOB)  # as in a process that was given it
    os.close(fd)
    view = mapped.view(0, BLOB, lambda *_: None)
    assert locate(view) == (mapped, 0)
    ref = pair.parent.refer(view)
    assert ref.pool not in (file.id, pair.process.place(0, 1).pool)
    assert bytes(pair.process.resolve(ref)) == bytes(BLOB)


def test_ten_thousand_payloads_leave_nothing(make):
    pair = make()
    used = pool._of_this_process.get().used_bytes
    data = bytes(BLOB)
    most = 0
    for _ in range(10_000):
        view = pair.process.resolve(pair.parent.refer(data))
        del view
        result = pair.parent.resolve(pair.process.place(0, BLOB))
        del result
        most = max(most, pool._of_this_process.get().used_bytes)
        pair.told()
        for message in pair.parent.releases():
            pair.process.released(message)
    assert (most, pool._of_this_process.get().used_bytes) == (used + BLOB, used)
    assert len(pair.parent._held) == len(pair.parent._held_count) == 0


def test_a_process_is_told_what_of_its_memory_lies_idle(make):
    pair = make()
    process, parent = pair.process, pair.parent
    assert list(parent.idle()) == [], "nothing was ever written"
    kept = parent.resolve(pair.write(0, b"k" * BLOB))
    dropped = parent.resolve(pair.write(BLOB, b"d" * 3 * BLOB))
    assert list(parent.idle()) == [], "it was needed a moment ago"
    del dropped
    released, idle = parent.idle()
    assert (released.refs, released.idle_from) == ([process.place(BLOB, 3 * BLOB)], None)
    assert idle == ReleaseBlobs([], idle_from=0)
    assert list(parent.idle()) == [], "it has not said anything since"
    process.give_up([(BLOB, SIZE)])
    parent.heard()
    assert list(parent.idle()) == [], "nothing is left but what is read"
    assert bytes(kept) == b"k" * BLOB
    del kept
    assert [each.idle_from for each in parent.idle()] == [None, 0]


def test_what_it_needed_until_now_is_idle_the_next_time(make):
    pair = make()
    seen = pair.parent.resolve(pair.write(0, b"x" * 3 * BLOB))
    pair.write(3 * BLOB, b"x")
    del seen
    assert [each.idle_from for each in pair.parent.idle()] == [None, 3 * BLOB]
    assert [each.idle_from for each in pair.parent.idle()] == [0]
    assert list(pair.parent.idle()) == []


def test_what_a_process_needs_it_keeps(make):
    pair = make()
    pair.write(0, b"x" * 6 * BLOB)
    for _ in range(3):
        seen = pair.parent.resolve(pair.process.place(0, 2 * BLOB))
        del seen
        pair.parent.heard()
        assert [each.idle_from for each in pair.parent.idle()] == [None, 2 * BLOB]


def test_many_releases_come_in_messages_that_fit_their_header(make):
    pair = make()
    views = [pair.parent.resolve(pair.process.place(0, 1)) for _ in range(2_500)]
    views.clear()
    assert [len(message.refs) for message in pair.parent.releases()] == [1000, 1000, 500]
