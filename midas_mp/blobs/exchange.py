"""How a Lua process and its parent speak of buffers that neither sends.

    parent ── descriptor of a pool ──▶ process      once for each pool, before the first reference
           ── frame with BlobRefs ───▶              into the parent's pool, or another process' own
           ◀── frame with BlobRefs ──               into the pool that the process writes
           ◀─▶ ReleaseBlobs                         not read any more, with whatever is said next
           ── ReleaseBlobs ──────────▶              now and then: what lies idle

The parent makes all pools.  Each process has one to write, its outbound pool, mapped before it
was confined; all others it maps for reading only, and nobody can make it shorter.  A process that
is lost gives back all it read; what it wrote stays until nobody reads it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from midas_mp import limits
from midas_mp.blobs import forks, memfd
from midas_mp.blobs.mapping import Mapping
from midas_mp.blobs.pool import SharedFile, place
from midas_mp.errors import ProtocolError
from midas_mp.wire.framing import Buffer
from midas_mp.wire.local import BlobRef, ReleaseBlobs

_POOL_ID: Final = struct.Struct("=Q")


class Reading:
    """What this end reads of the other's, and what it has let go since it last said so."""

    def __init__(self) -> None:
        self._let_go: deque[BlobRef] = deque()
        self.held_bytes = 0
        """Of what the other end was not told yet."""

    def view(self, mapping: Mapping, ref: BlobRef) -> memoryview:
        """Raises ProtocolError: it does not lie there."""
        check_inside(ref, mapping.size_bytes)
        view = mapping.view(ref.offset, ref.size_bytes, partial(self._end, ref))
        self.held_bytes += ref.size_bytes
        return view.toreadonly()

    @property
    def has_released(self) -> bool:
        return bool(self._let_go)

    def take_released(self) -> list[BlobRef]:
        released: list[BlobRef] = []
        while self._let_go and len(released) < limits.BLOB_REFS_MAX:
            ref = self._let_go.popleft()
            self.held_bytes -= ref.size_bytes
            released.append(ref)
        return released

    def owe(self, released: list[BlobRef]) -> None:
        """The other end is still to be told of these."""
        self._let_go.extendleft(reversed(released))
        self.held_bytes += sum(ref.size_bytes for ref in released)

    def _end(self, ref: BlobRef, _offset: int, _size_bytes: int) -> None:
        self._let_go.append(ref)


def check_inside(ref: BlobRef, size_bytes: int) -> None:
    """Raises ProtocolError: it does not lie in a pool of that size."""
    if ref.offset + ref.size_bytes > size_bytes:
        raise ProtocolError(
            f"a reference to {ref.size_bytes} bytes at {ref.offset} of a pool of {size_bytes}"
        )


class Showing:
    """What one end has the other read: half of a ``BlobPort``.

    Args:
        give: gives the other end a pool; raises OSError where it takes none for now.
        gone: called when a pool that the other end knows is no more, in whatever thread.
    """

    def __init__(
        self, give: Callable[[SharedFile], None], gone: Callable[[deque[int]], None]
    ) -> None:
        self._give = give
        self._told = gone
        self._held: dict[tuple[int, int], Buffer] = {}
        """What the other end reads, by pool and offset."""
        self._held_count: Counter[tuple[int, int]] = Counter()
        self._known: dict[int, weakref.ref[SharedFile]] = {}
        self.gone: deque[int] = deque()
        """Pools that the other end knows, and will not be referred to again."""

    def refer(self, buffer: Buffer) -> BlobRef | None:
        found = place(buffer)
        if found is None or not self._show(found.file):
            return None
        file, offset, view = found
        key = file.id, offset
        self._held_count[key] += 1
        self._held.setdefault(key, view)
        return BlobRef(file.id, offset, view.nbytes)

    def released(self, message: ReleaseBlobs) -> None:
        """The other end reads these no more.

        Raises:
            ProtocolError: it was not shown one of them, or as often.
        """
        for ref in message.refs:
            key = ref.pool, ref.offset
            if not self._held_count[key]:
                raise ProtocolError(f"released {ref.offset} of pool {ref.pool}, not held there")
            self._held_count[key] -= 1
            if not self._held_count[key]:
                del self._held_count[key]
                del self._held[key]

    @property
    def is_read(self) -> bool:
        """Whether the other end has not released all."""
        return bool(self._held)

    def close(self) -> None:
        """The other end is gone, and reads nothing any more; idempotent."""
        self._held.clear()
        self._held_count.clear()
        self._known.clear()

    def _show(self, file: SharedFile) -> bool:
        """Whether the other end knows the pool now."""
        if file.id in self._known:
            return True
        if len(self._known) + len(self.gone) >= limits.POOLS_PER_PEER_MAX:
            return False
        with contextlib.suppress(OSError):  # it does not take descriptors fast enough
            self._give(file)
            self._know(file)
            return True
        return False

    def _know(self, file: SharedFile) -> None:
        forget = partial(_forget, self._known, self.gone, self._told, file.id)
        self._known[file.id] = weakref.ref(file, forget)


class ParentBlobs(Showing):
    """A parent's end: what it shares with one process; a ``BlobPort``.

    Args:
        descriptors: where the process takes descriptors from.
        outbound: the pool that the process writes.
    """

    def __init__(self, descriptors: socket.socket, outbound: SharedFile) -> None:
        super().__init__(partial(_send_file, descriptors), _say_later)
        self._descriptors = descriptors
        self._outbound: SharedFile | None = outbound
        """None once the process is gone; whoever reads of it keeps it."""
        self._reading = Reading()
        self._needed_end = 0
        """Of what the process wrote since ``idle`` was last asked."""
        self._idle_from: int | None = None
        """What the process was told last, and may not have heard yet."""
        self._know(outbound)

    def refer(self, buffer: Buffer) -> BlobRef | None:
        return None if self._outbound is None else super().refer(buffer)

    def resolve(self, ref: BlobRef) -> Buffer:
        if self._outbound is None or ref.pool != self._outbound.id:
            raise ProtocolError(f"a reference to pool {ref.pool}, which it does not write")
        self._needed_end = max(self._needed_end, ref.offset + ref.size_bytes)
        return self._reading.view(self._outbound, ref)

    def heard(self) -> None:
        """The process has said something, so it may have heard something."""
        self._idle_from = None

    def releases(self) -> Iterator[ReleaseBlobs]:
        """What the process should be told now, if anything."""
        while self.gone or self._reading.has_released:
            yield ReleaseBlobs(self._reading.take_released(), take_gone(self.gone))

    def idle(self) -> Iterator[ReleaseBlobs]:
        """What the process should be told even if there is nothing else to say, if anything; to be
        asked now and then.

        What it wrote since the last time tells how much it needs; what the kernel keeps beyond that
        for it, and nobody reads, is to be given back.
        """
        forks.sweep()
        for message in self.releases():
            self._idle_from = None  # there is more to give back
            yield message
        needed_end, self._needed_end = self._needed_end, 0
        if self._outbound is None:
            return
        if self._idle_from is not None and self._idle_from <= needed_end:
            return
        if self._outbound.touched_bytes - self._reading.held_bytes > needed_end:
            self._idle_from = needed_end
            yield ReleaseBlobs([], idle_from=needed_end)

    def close(self) -> None:
        """The process is gone, and reads nothing any more; idempotent."""
        self._outbound = None
        self._descriptors.close()
        super().close()


def _send_file(descriptors: socket.socket, file: SharedFile) -> None:
    socket.send_fds(descriptors, [_POOL_ID.pack(file.id)], [file.read_fd])


def take_gone(gone: deque[int]) -> list[int]:
    """So many of these as one message may hold."""
    return [gone.popleft() for _ in range(min(len(gone), limits.BLOB_REFS_MAX))]


def _forget(
    known: dict[int, Any],
    gone: deque[int],
    tell: Callable[[deque[int]], None],
    file_id: int,
    _ref: object,
) -> None:
    if known.pop(file_id, None) is not None:
        gone.append(file_id)
        tell(gone)


def _say_later(_gone: deque[int]) -> None:
    """With what is said next."""


class ProcessBlobs:
    """A Lua process' end.

    Args:
        descriptors: where they come from; blocking.
        outbound_id: the number of the pool that this process writes.
        outbound_fd: its file; closed here.
        outbound_bytes: its size.

    Raises:
        OSError: it cannot be mapped.

    Attributes:
        outbound: the pool that this process writes.
    """

    def __init__(
        self,
        descriptors: socket.socket,
        outbound_id: int,
        outbound_fd: int,
        outbound_bytes: int,
    ) -> None:
        self._descriptors = descriptors
        self._outbound_id = outbound_id
        self._reading = Reading()
        self.outbound = Mapping(outbound_fd, outbound_bytes, is_writable=True)
        os.close(outbound_fd)
        self._pools: dict[int, Mapping] = {outbound_id: self.outbound}

    def place(self, offset: int, size_bytes: int) -> BlobRef:
        """In the outbound pool."""
        return BlobRef(self._outbound_id, offset, size_bytes)

    def resolve(self, ref: BlobRef) -> Buffer:
        while ref.pool not in self._pools:
            self._receive()
        return self._reading.view(self._pools[ref.pool], ref)

    def released(self, message: ReleaseBlobs) -> list[BlobRef]:
        """What of the outbound pool is not read any more."""
        for pool in message.pools:
            self._pools.pop(pool, None)
        return message.refs

    def give_up(self, pieces: Iterable[tuple[int, int]]) -> None:
        """Gives the kernel these pieces of the outbound pool (from, to), which nobody reads."""
        for start, end in pieces:
            self.outbound.give_up_pages(start, end - start)

    def releases(self) -> Iterator[ReleaseBlobs]:
        """What the parent should be told now, if anything."""
        while self._reading.has_released:
            yield ReleaseBlobs(self._reading.take_released())

    def _receive(self) -> None:
        """The next pool.

        Raises:
            ProtocolError: it is none.
        """
        data, descriptors, _, _ = socket.recv_fds(self._descriptors, _POOL_ID.size, 1)
        if len(data) != _POOL_ID.size or len(descriptors) != 1:
            raise ProtocolError("a reference to a pool whose file never came")
        try:
            (pool,) = _POOL_ID.unpack(data)
            self._pools[pool] = Mapping(descriptors[0], memfd.fixed_size_bytes(descriptors[0]))
        finally:
            os.close(descriptors[0])
