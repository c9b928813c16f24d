"""The memory in which a Lua process leaves large arrays for whoever reads its results.

Its parent made the memory and maps it read-only; this process has it mapped read-write.  The
arrays of Lua are made in it where they stay, by the map that is kept here: one byte for each
granule.  All Lua states of the process share the map, for the process has one thread.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from midas_mp import limits

_FREE: Final = b"\0"
_FREE_RUN: Final = re.compile(rb"\0+")


class OutboundBlock(NamedTuple):
    """A buffer of a payload that lies in the outbound memory: its reader's until released."""

    offset: int
    size_bytes: int


class Outbound:
    """Which granules of the outbound memory are in use.

    Attributes:
        address: where this process has the memory mapped.
        size_bytes: of all of it.
        map_address: of the map, which Lua writes too.
    """

    def __init__(self, address: int, size_bytes: int) -> None:
        """Makes a map of nothing but free granules.

        Args:
            address: where this process has the memory mapped; it must stay so as long as there is
                a Lua state.
            size_bytes: of it; what is beyond the last whole granule is not used.
        """
        granule_count = size_bytes // limits.OUTBOUND_GRANULE_BYTES
        self.address = address
        self.size_bytes = granule_count * limits.OUTBOUND_GRANULE_BYTES
        self._map = bytearray(granule_count)
        self.map_address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    @property
    def used_bytes(self) -> int:
        """Of all granules that are in use: by an array of a task, or by a reader."""
        free = self._map.count(_FREE)
        return (len(self._map) - free) * limits.OUTBOUND_GRANULE_BYTES

    def free_from(self, offset: int) -> Iterator[tuple[int, int]]:
        """From where to where nothing is in use, from an offset on."""
        granule = limits.OUTBOUND_GRANULE_BYTES
        for run in _FREE_RUN.finditer(self._map, -(-offset // granule)):
            yield run.start() * granule, run.end() * granule

    def release(self, offset: int, size_bytes: int) -> None:
        """Frees a block that its reader no longer needs."""
        first = offset // limits.OUTBOUND_GRANULE_BYTES
        count = -(-size_bytes // limits.OUTBOUND_GRANULE_BYTES)
        self._map[first : first + count] = _FREE * count
