"""A pool's file in this process' memory.

A view is a plain ``memoryview`` of its place: whatever is made of it (slices, casts, NumPy arrays)
keeps that place through ``memoryview.obj``, and when the last of them is gone, whoever made the
view is told.  A mapping ends with its last view.
"""

from __future__ import annotations

import atexit
import bisect
import ctypes
import mmap
import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from midas_mp.blobs import forks
from midas_mp.held_buffer import HeldBuffer
from midas_mp.wire.framing import Buffer

_libc: Final = ctypes.CDLL(None, use_errno=True)
_mmap: Final = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long),
)
_munmap: Final = _libc.munmap
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_madvise: Final = _libc.madvise
_madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_MADV_REMOVE: Final = 9
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


exiting: Final[list[None]] = []
"""Not empty from when this program ends: what is left of it may still read, and modules are taken
apart."""
atexit.register(exiting.append, None)


class Mapping:
    """So many bytes of a file, from its beginning; the descriptor may be closed afterwards.

    Raises:
        OSError: no room for it in this process.

    Attributes:
        address: where it begins.
    """

    address = 0

    def __init__(self, fd: int, size_bytes: int, *, is_writable: bool = False) -> None:
        self.size_bytes = size_bytes
        self.is_writable = is_writable
        self._pid = os.getpid()
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if is_writable else 0)
        # mmap.mmap would keep a descriptor for each, and does not tell where it lies
        address = _mmap(None, size_bytes, protection, mmap.MAP_SHARED, fd, 0)
        if address in (_MAP_FAILED, None):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot map {size_bytes} bytes")
        self.address = address
        _add(self)

    def view(self, offset: int, size_bytes: int, let_go: Callable[[int, int], None]) -> memoryview:
        """Of a place that must lie inside; ``let_go(offset, size_bytes)`` is called, in any
        thread, when nothing of the view is left, here or in a process that was forked meanwhile.
        """
        assert 0 <= offset <= offset + size_bytes <= self.size_bytes
        place = (ctypes.c_ubyte * size_bytes).from_address(self.address + offset)
        lease = _Lease(place, _end)
        lease.number = forks.next_number()
        lease.mapping = self
        lease.let_go = partial(let_go, offset, size_bytes)
        _leases.add(lease)
        view = memoryview(place).cast("B")
        return view if self.is_writable else view.toreadonly()

    @property
    def is_inherited(self) -> bool:
        """Whether a fork brought it here: then another process gives its places away."""
        return self._pid != os.getpid()

    def give_up_pages(self, offset: int, size_bytes: int) -> None:
        """Back to the kernel: what is there reads as zeros, and costs nothing until touched."""
        _madvise(self.address + offset, size_bytes, _MADV_REMOVE)

    def __del__(self, is_exiting: list[None] = exiting) -> None:
        if self.address and not is_exiting:
            _remove(self)
            _munmap(self.address, self.size_bytes)


class _Lease(weakref.ref[Any]):
    """Watches a place until nothing refers to it any more, and keeps its mapping until then."""

    __slots__ = ("let_go", "mapping", "number")

    __hash__ = object.__hash__  # a reference's own is that of what it refers to
    __eq__ = object.__eq__

    number: int
    mapping: Mapping
    let_go: Callable[[], None]


_leases: Final[set[_Lease]] = set()


def _end(lease: Any, is_exiting: list[None] = exiting) -> None:
    if is_exiting:
        return
    _leases.discard(lease)
    forks.give_back(lease.number, lease.let_go)


# -- what lies where -------------------------------------------------------------------------

_addresses: Final[list[int]] = []
_mappings: Final[dict[int, weakref.ref[Mapping]]] = {}
"""Those of this process, by address.  A mapping may end in any thread, even in the middle of what
this one does, so there is no lock: each step on them is one that no other thread gets into."""


def address_of(buffer: Buffer) -> int:
    """Where a contiguous buffer begins; it stays there only as long as somebody holds it."""
    held = HeldBuffer(buffer)
    held.release()
    return held.address


def locate(buffer: Buffer) -> tuple[Mapping, int] | None:
    """The mapping that a buffer lies in, and its offset there; None if it lies in none."""
    address = address_of(buffer)
    addresses = _addresses
    number = bisect.bisect(addresses, address) - 1
    if number < 0:
        return None
    found = _mappings.get(addresses[number])
    mapping = found() if found is not None else None
    if mapping is None or address >= mapping.address + mapping.size_bytes or mapping.is_inherited:
        return None
    return mapping, address - mapping.address


def _add(mapping: Mapping) -> None:
    _mappings[mapping.address] = weakref.ref(mapping)
    bisect.insort(_addresses, mapping.address)


def _remove(mapping: Mapping) -> None:
    _addresses.remove(mapping.address)
    del _mappings[mapping.address]
