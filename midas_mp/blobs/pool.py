"""The shared memory of this process: one file, of which blocks are taken and given back.

What is taken is a view: it is given back when nothing of it is left (see ``mapping``), in
whichever thread that happens.  Where there is no shared memory, or none left, there is None, and
bytes travel as they are.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import resource
import threading
import time
import warnings
from collections import deque
from typing import Final, NamedTuple, Self

from midas_mp import limits
from midas_mp.blobs import farewells, forks, memfd
from midas_mp.blobs.extents import Extents
from midas_mp.blobs.farewells import KeptToken
from midas_mp.blobs.mapping import Mapping, address_of, exiting, locate
from midas_mp.wire.framing import Buffer, size_bytes

_PAGE_BYTES: Final = mmap.PAGESIZE
_STAT_BLOCK_BYTES: Final = 512

TRIM_BYTES: Final = 16 * limits.MB
"""Given back at a time, which takes some 2 ms."""

TRIM_INTERVAL_S: Final = 10.0
"""How long shared memory may lie idle; touched anew it costs ten times as much."""

TRIM_PAUSE_S: Final = 0.05
"""Between two pieces of it, so that nobody waits for long."""

_LONG_COPY_BYTES: Final = limits.MB
"""From here on (some 0.1 ms) other threads may run meanwhile."""

_ids: Final = itertools.count(1)
"""Different for all files that one process speaks of."""


class SharedFile(Mapping):
    """A file made or received here, mapped here, and known by a number to those it is shared with.

    Attributes:
        id: that number.
        read_fd: to be passed to whoever shall read it; allows nothing else.
        token: what came with it, and goes with it (see ``farewells``).
    """

    read_fd = -1

    @classmethod
    def create(cls, name: str, size_bytes: int, *, is_writable: bool) -> tuple[Self, int]:
        """A new one, with a descriptor by which it can be written, the caller's to close.

        Raises:
            OSError: see ``memfd.create``.
        """
        fd = memfd.create(name, size_bytes)
        try:
            return cls(fd, size_bytes, is_writable=is_writable), fd
        except OSError:
            os.close(fd)
            raise

    def __init__(self, fd: int, size_bytes: int, *, is_writable: bool = False) -> None:
        super().__init__(fd, size_bytes, is_writable=is_writable)
        self.id = next(_ids)
        self.read_fd = memfd.open_to_read(fd)
        self.token: KeptToken | None = None

    @property
    def touched_bytes(self) -> int:
        """What the kernel keeps of it: pages that somebody has touched."""
        return os.fstat(self.read_fd).st_blocks * _STAT_BLOCK_BYTES

    def __del__(self, is_exiting: list[None] = exiting) -> None:
        if self.read_fd >= 0 and not is_exiting:
            os.close(self.read_fd)
        super().__del__()


class Place(NamedTuple):
    """Where a buffer lies in shared memory."""

    file: SharedFile
    offset: int
    view: memoryview
    """Of it, and keeping it."""


class Pool:
    """Raises OSError where there can be none of this size."""

    def __init__(self, size_bytes: int) -> None:
        self._file, fd = SharedFile.create("midas-pool", size_bytes, is_writable=True)
        os.close(fd)
        self._extents = Extents(size_bytes)
        self._freed: deque[tuple[int, int]] = deque()
        """Given back, but not yet known to the extents: whoever gives back may be the collector of
        garbage, in the middle of anything, and must not wait for a lock."""
        self._lock = threading.Lock()
        self._touched_end = 0
        self._needed_end = 0
        """What trimming leaves alone."""
        self._trimmed_from: int | None = None
        """All that is free above was given back; None between two rounds of trimming."""

    @property
    def touched_bytes(self) -> int:
        """What the kernel keeps of it."""
        return self._file.touched_bytes

    @property
    def used_bytes(self) -> int:
        """In whole pages."""
        with self._lock:
            self._take_back()
            return self._extents.used

    def allocate(self, size_bytes: int) -> memoryview | None:
        """A block, writable, with anything in it; None where no piece is large enough."""
        place = self.take(size_bytes)
        return None if place is None else place.view

    def take(self, size_bytes: int) -> Place | None:
        """As ``allocate``, with where it is."""
        pages_bytes = _pages(size_bytes)
        with self._lock:
            self._take_back()
            offset = self._extents.take(pages_bytes)
            if offset is None:
                return None
            self._touched_end = max(self._touched_end, offset + pages_bytes)
        return Place(self._file, offset, self._file.view(offset, size_bytes, self._let_go))

    def trim(self) -> bool:
        """Gives the kernel what was not needed since the last time; to be called now and then.

        Returns:
            Whether there is more of it: one call takes some 2 ms at most.
        """
        with self._lock:
            self._take_back()
            extents = self._extents
            if self._trimmed_from is None:
                self._needed_end, extents.high_water = extents.high_water, 0
                self._trimmed_from = self._touched_end
            floor = max(self._needed_end, extents.high_water)
            pieces = extents.free_between(floor, self._trimmed_from)
            room = TRIM_BYTES
            while pieces and room:
                start, end = pieces.pop()
                start = max(start, end - room)
                self._file.give_up_pages(start, end - start)
                self._trimmed_from = start
                room -= end - start
            if room:
                self._touched_end = max(floor, min(self._touched_end, extents.end))
                self._trimmed_from = None
            return not room

    def empty(self) -> None:
        """Gives the kernel all that is not in use."""
        with self._lock:
            self._take_back()
            for start, end in self._extents.free_between(0, self._touched_end):
                self._file.give_up_pages(start, end - start)
            self._touched_end = min(self._touched_end, self._extents.end)
            self._trimmed_from = None

    def _let_go(self, offset: int, size_bytes: int) -> None:
        self._freed.append((offset, _pages(size_bytes)))

    def _take_back(self) -> None:
        forks.sweep()
        farewells.sweep()
        while self._freed:
            self._extents.give_back(*self._freed.popleft())


class _OfThisProcess:
    """The one pool, made when it is first wanted; a fork wants another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._pool: Pool | None = None
        self._trim_s = 0.0
        """When to trim again."""

    @property
    def made(self) -> Pool | None:
        return self._pool if self._pid == os.getpid() else None

    def get(self) -> Pool | None:
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._pool = _make()
                    self._pid = os.getpid()
        return self._pool

    def trim(self) -> float:
        forks.sweep()
        farewells.sweep()
        now_s = time.monotonic()
        if now_s >= self._trim_s:
            pool = self.made
            has_more = pool is not None and pool.trim()
            self._trim_s = now_s + (TRIM_PAUSE_S if has_more else TRIM_INTERVAL_S)
        return self._trim_s - now_s

    def after_fork(self) -> None:
        """Somebody else may have held it."""
        self._lock = threading.Lock()


def _make() -> Pool | None:
    try:
        return Pool(_size_bytes())
    except OSError as error:
        warn_without(error)
        return None


def _size_bytes() -> int:
    """Half of the machine's memory: what others use of it is theirs."""
    of_machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size_bytes = min(of_machine // 2, limits.POOL_BYTES_MAX)
    return _pages(within_address_space(size_bytes, limits.ADDRESS_SHARE_OF_POOL_INVERSE))


def within_address_space(size_bytes: int, share_inverse: int) -> int:
    """So much, or such a share of the addresses that this process may have (ulimit -v)."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit in (resource.RLIM_INFINITY, -1):
        return size_bytes
    return min(size_bytes, limit // share_inverse)


_warned: Final[set[str]] = set()


def warn_without(error: OSError) -> None:
    """Says why large payloads are copied here; each reason once."""
    reason = error.strerror or str(error)
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(
            f"no shared memory ({reason}): large payloads are copied", RuntimeWarning, stacklevel=2
        )


_of_this_process: Final = _OfThisProcess()
os.register_at_fork(after_in_child=_of_this_process.after_fork)


def allocate(size_bytes: int) -> memoryview | None:
    """A writable block of this process' pool, for something that shall travel without a copy."""
    pool = _of_this_process.get()
    return pool.allocate(size_bytes) if pool is not None else None


def share(buffer: Buffer) -> Buffer:
    """The same bytes where other processes of this node can read them.

    Returns:
        The buffer itself where it is there already, is not worth it, or cannot be.
    """
    if size_bytes([buffer]) < limits.BLOB_BYTES_MIN or _find(buffer) is not None:
        return buffer
    place = _copy(buffer)
    return buffer if place is None else place.view


def place(buffer: Buffer) -> Place | None:
    """Where the buffer lies in memory that others can be shown, by a copy if need be; None where
    it cannot.
    """
    return _find(buffer) or _copy(buffer)


def _find(buffer: Buffer) -> Place | None:
    if type(buffer) is bytes:  # these live elsewhere, and are many
        return None
    found = locate(buffer)
    if found is None:
        return None
    file, offset = found
    if not isinstance(file, SharedFile):
        return None  # somebody else's
    # a view of our own: whoever made theirs may release it
    return Place(file, offset, memoryview(buffer))


def _copy(buffer: Buffer) -> Place | None:
    size = size_bytes([buffer])
    pool = _of_this_process.get()
    place = pool.take(size) if pool is not None else None
    if place is None:
        return None
    if size < _LONG_COPY_BYTES:
        place.view[:] = memoryview(buffer).cast("B")
    else:
        ctypes.memmove(place.file.address + place.offset, address_of(buffer), size)
    return place


def trim() -> float:
    """Gives the kernel what of this process' pool lies idle.

    Whoever has a loop calls it, again and again; several who do are as good as one.

    Returns:
        After how many seconds to call it again.
    """
    return _of_this_process.trim()


def empty() -> None:
    """Gives the kernel all of this process' pool that is not in use: it may never be again."""
    pool = _of_this_process.made
    if pool is not None:
        pool.empty()


def _pages(size_bytes: int) -> int:
    return max(1, -(-size_bytes // _PAGE_BYTES)) * _PAGE_BYTES
