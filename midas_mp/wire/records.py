"""Records: what keeps a flipped bit on the network from becoming a wrong answer.

    u32 size | u32 check of the size | u32 check of the data | data

All numbers are little-endian.  Frames cross a network inside of records, a record holding many
frames or a part of one; nothing of a record is looked at before its check is right.  TCP's own
checksum has 16 bits and is made anew by whoever handles segments on the way; msgpack would read
other numbers.

A check is a CRC-32: of the size it begins with the number of the record on its connection, of the
data where that of the size ended.  So one or two flipped bits are found for certain, and so is a
record that is missing, comes twice or comes in another's place; of anything else one in 2**32 is
not found.  The size has a check of its own because who believes a wrong one waits for data that
never come.  Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from midas_mp import limits
from midas_mp.errors import ConnectionLost, ProtocolError
from midas_mp.wire.framing import Buffer, size_bytes

PREFIX: Final = struct.Struct("<III")

_SIZE: Final = struct.Struct("<I")

_COPY_BYTES_MAX: Final = 64 * limits.KB
"""A piece up to this size is cheaper to copy behind its prefix than to write by itself."""


def begins_stream(data: bytes) -> bool:
    """Whether this is how somebody begins who speaks in records."""
    if len(data) < PREFIX.size:
        return False
    size: int
    size, check_of_size, _ = PREFIX.unpack_from(data)
    is_right: bool = check_of_size == crc32(_SIZE.pack(size), 0)
    return is_right and 0 < size <= limits.RECORD_BYTES_MAX_GREETING


class RecordWriter:
    """Puts one direction of a connection into records."""

    def __init__(self) -> None:
        self._number = 0

    def seal(self, pieces: Sequence[Buffer]) -> list[Buffer]:
        """The same bytes in records, for writing in this order; large pieces are not copied."""
        sealed: list[Buffer] = []
        record: list[Buffer] = []
        room = limits.RECORD_BYTES_MAX
        for piece in pieces:
            size = size_bytes([piece])
            if size > room:
                view = memoryview(piece).cast("B")
                while len(view) > room:
                    sealed += self._close([*record, view[:room]], limits.RECORD_BYTES_MAX)
                    view = view[room:]
                    record, room = [], limits.RECORD_BYTES_MAX
                piece, size = view, len(view)  # noqa: PLW2901 - the rest of it
            record.append(piece)
            room -= size
        if record:
            sealed += self._close(record, limits.RECORD_BYTES_MAX - room)
        return sealed

    def _close(self, record: list[Buffer], size: int) -> list[Buffer]:
        check_of_size = check = crc32(_SIZE.pack(size), self._number)
        self._number = self._number + 1 & 0xFFFFFFFF
        for piece in record:
            check = crc32(piece, check)
        prefix = PREFIX.pack(size, check_of_size, check)
        if len(record) == 1 and size <= _COPY_BYTES_MAX:
            return [prefix + record[0]]
        return [prefix, *record]


class RecordReader:
    """Takes one direction of a connection, cut anywhere, out of its records.

    After an error the stream has no meaning any more: the connection is to be closed.
    """

    def __init__(self) -> None:
        self._number = 0
        self._prefix = bytearray()
        """Of the next record, as far as it has come."""
        self._missing = 0
        """Bytes that the record still lacks."""
        self._check = 0
        self._check_wanted = 0
        self._parts: list[bytes] = []
        """What has come of it."""

    @property
    def is_between_records(self) -> bool:
        """Whether the stream may end here without having lost anything."""
        return not self._prefix and not self._missing

    def feed(self, data: Buffer, size_max: int = limits.RECORD_BYTES_MAX) -> list[bytes]:
        """What is complete and right with ``data``, in order; it may be cut anywhere.

        Args:
            data: what came; may be reused afterwards.
            size_max: of a record that begins in it.

        Raises:
            ProtocolError: whoever sent this speaks of no records, or the record is over the limit.
            ConnectionLost: what came is not what was sent.
        """
        chunk = data if type(data) is bytes else bytes(data)  # slices of bytes are the cheapest
        complete: list[bytes] = []
        position, end = 0, len(chunk)
        while position < end:
            if not self._missing:
                stop = position + PREFIX.size - len(self._prefix)
                self._prefix += chunk[position:stop]
                position = min(stop, end)
                if len(self._prefix) == PREFIX.size:
                    self._open(size_max)
                continue
            part = chunk[position : position + self._missing]
            position += len(part)
            self._missing -= len(part)
            self._check = crc32(part, self._check)
            self._parts.append(part)
            if not self._missing:
                complete += self._close()
        return complete

    def _open(self, size_max: int) -> None:
        size, check_of_size, self._check_wanted = PREFIX.unpack(self._prefix)
        self._prefix.clear()
        self._check = crc32(_SIZE.pack(size), self._number)
        if check_of_size != self._check or not size:
            if not self._number:
                raise ProtocolError(
                    "what it said is not Midas' protocol, or not this version of it"
                )
            raise self._damaged()
        if size > size_max:
            raise ProtocolError(f"record of {size} bytes is over {size_max}")
        self._missing = size

    def _close(self) -> list[bytes]:
        if self._check != self._check_wanted:
            raise self._damaged()
        self._number = self._number + 1 & 0xFFFFFFFF
        parts, self._parts = self._parts, []
        return parts

    def _damaged(self) -> ConnectionLost:
        return ConnectionLost(f"record {self._number} was damaged on its way")
