"""The results that a Lua process has not sent yet, where its parent can read them.

While a script runs nobody in its process can send what was finished before: results of short calls
share a frame, and the next call may take for ever.  So each of them lies here too from the end of
its call on, and a parent that sees a call take long reads them; the process sends them all the
same when it can, and does not know whether they were read.

    0 ──────── 8 ──────────────────────────────── limits.UNSENT_RESULTS_BYTES
    first call │ result │ result │ …

    result: u64 duration_us | u32 size | u8 flags | size bytes, and so on for each buffer

Only the process writes, and only between two calls: what stands here does not change as long as the
status page names the same call.  A second thread that sends would do as well, but a process of one
thread allocates memory without locks: scripts that make tables and closures would take up to a
third longer.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from midas_mp import limits
from midas_mp.wire.framing import Buffer
from midas_mp.wire.local import BlobRef
from midas_mp.wire.messages import Status

_FIRST: Final = struct.Struct("=Q")
_BUFFER: Final = struct.Struct("=QIB")
_BUFFER_HEAD_BYTES: Final = _BUFFER.size
_pack_into: Final = _BUFFER.pack_into
_OK: Final = Status.OK
_FAILED: Final = 1
_IS_CONTINUED: Final = 2
"""Another buffer of the same payload follows."""

_DURATION_US_MAX: Final = 2**53
"""As much as an ``Outcome`` can say."""

_NOTHING: Final = 0
"""Instead of a call's number, which counts from 1."""


class UnsentResult(NamedTuple):
    """What a call came to."""

    status: Status
    duration_us: int
    payload: list[bytes]


class UnsentResults:
    """One end's view of the place; where it begins is a multiple of 8.

    Args:
        shared: the memory.
        offset: where the place begins in it.
    """

    def __init__(self, shared: mmap.mmap, offset: int) -> None:
        self._map = shared
        self._begin = offset
        self._end = offset + limits.UNSENT_RESULTS_BYTES
        self._position = self._end

    # -- the process' side -------------------------------------------------------------------------

    def begin(self, serial: int) -> None:
        """All earlier results have been sent, or nobody may read them: the next one is of that
        call.
        """
        _FIRST.pack_into(self._map, self._begin, serial)
        self._position = self._begin + _FIRST.size

    def hide(self) -> None:
        """Nobody may read what comes."""
        _FIRST.pack_into(self._map, self._begin, _NOTHING)

    def add(self, status: Status, duration_us: int, payload: Sequence[Buffer | BlobRef]) -> bool:
        """The result of the next call; at least one buffer.

        Returns:
            False where it cannot be read here: then it must be sent before another call begins.
        """
        flags = 0 if status is _OK else _FAILED
        position, left = self._position, len(payload)
        for buffer in payload:
            left -= 1
            begin = position + _BUFFER_HEAD_BYTES
            if type(buffer) is not bytes:
                return False
            end = begin + len(buffer)
            if end > self._end:
                return False
            more = flags | _IS_CONTINUED if left else flags
            _pack_into(self._map, position, duration_us, end - begin, more)
            self._map[begin:end] = buffer
            position = end
        self._position = position
        return True

    # -- the parent's side -------------------------------------------------------------------------

    def read(self, first: int, running: int) -> list[UnsentResult]:
        """The results of all calls from the first one to that before the running one.

        None where there is nothing, where others stand here, and where what stands here makes no
        sense.  The caller sees to it that the same call still runs afterwards.
        """
        if not 0 < running - first <= limits.TASKS_PER_FRAME_MAX:
            return []
        if _FIRST.unpack_from(self._map, self._begin) != (first,):
            return []
        position = self._begin + _FIRST.size
        results: list[UnsentResult] = []
        buffers_left = limits.PAYLOAD_BUFFERS_MAX
        for _ in range(running - first):
            found = self._read_one(position)
            if found is None:
                return []
            result, position = found
            buffers_left -= len(result.payload)
            if buffers_left < 0:
                return []
            results.append(result)
        return results

    def _read_one(self, position: int) -> tuple[UnsentResult, int] | None:
        """One result, and where the next one begins."""
        payload: list[bytes] = []
        flags = _IS_CONTINUED
        duration_us = 0
        while flags & _IS_CONTINUED:
            start = position + _BUFFER_HEAD_BYTES
            if start > self._end:
                return None
            duration_us, size, flags = _BUFFER.unpack_from(self._map, position)
            position = start + size
            if position > self._end or duration_us > _DURATION_US_MAX:
                return None
            payload.append(self._map[start:position])
        status = Status.FAILED if flags & _FAILED else Status.OK
        return UnsentResult(status, duration_us, payload), position
