"""How the buffers of a payload get into a Lua state, and out of it.

LuaJIT reads them where they lie: it is told addresses, and everything that it is told of is held
until it has done with it.  The other engines know nothing but their own strings.  Either way what
enters Lua is bytes and numbers, and no Python object.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from midas_mp import limits
from midas_mp.held_buffer import HeldBuffer
from midas_mp.lua.outbound import OutboundBlock
from midas_mp.wire.framing import Buffer

ResultBuffer = Buffer | OutboundBlock

_PLACE_IN: Final = struct.Struct("<qq")
_PLACE_OUT: Final = struct.Struct("<qqq")

_STRING_BYTES_MAX: Final = 64 * limits.KB
"""A single buffer up to this size goes in as a string, which costs less than to ask where it is."""


class Passed(NamedTuple):
    """One payload on its way into Lua.

    Attributes:
        payload: buffer 0; None where there is none, or where ``places`` tells of it.
        places: what the library is told of the buffers, once it is ``told``.
        lua_bytes: what this takes of Lua's memory.
        held: what must be released when Lua has done with it.
    """

    payload: bytes | None
    places: Any
    lua_bytes: int
    held: Sequence[HeldBuffer] = ()

    def close(self) -> None:
        """Lua will not look at the buffers again."""
        for buffer in self.held:
            buffer.release()


_NOTHING: Final = Passed(None, None, 0)


class Passage(Protocol):
    """The way of one engine."""

    def enter(self, buffers: Sequence[Buffer]) -> Passed:
        """Takes a payload in; no buffers are no payload."""

    def told(self, places: Any) -> Any:
        """What was passed as ``places``, as Lua has it; to make it may take all ``lua_bytes``."""

    def leave(self, text: bytes, places: Any) -> list[ResultBuffer]:
        """The payload that a call has answered; the state must not have been called since."""


class AddressPassage:
    """LuaJIT's: it is told (address, bytes) of each buffer."""

    def enter(self, buffers: Sequence[Buffer]) -> Passed:
        if not buffers:
            return _NOTHING
        if len(buffers) == 1:
            payload = buffers[0]
            if len(payload) <= _STRING_BYTES_MAX:
                text = payload if type(payload) is bytes else bytes(payload)
                return Passed(text, None, len(text))
        held = [HeldBuffer(buffer) for buffer in buffers]
        places = b"".join([_PLACE_IN.pack(each.address, each.size_bytes) for each in held])
        return Passed(None, places, len(places), held)

    def told(self, places: Any) -> Any:
        return places

    def leave(self, text: bytes, places: Any) -> list[ResultBuffer]:
        if places is None:
            return [text]
        return [text, *map(_take_out, _PLACE_OUT.iter_unpack(places))]


class StringPassage:
    """PUC-Rio's: strings in a table."""

    def __init__(self, lua: Any) -> None:
        self._lua = lua

    def enter(self, buffers: Sequence[Buffer]) -> Passed:
        if not buffers:
            return _NOTHING
        payload, *more = map(bytes, buffers)
        return Passed(payload, more or None, len(payload) + sum(map(len, more)))

    def told(self, places: Any) -> Any:
        return places and self._lua.table_from(places)

    def leave(self, text: bytes, places: Any) -> list[ResultBuffer]:
        if places is None:
            return [text]
        return [text, *(places[i + 1] for i in range(len(places)))]


def _take_out(place: Iterable[int]) -> ResultBuffer:
    address, size, offset = place
    if offset >= 0:
        return OutboundBlock(offset, size)
    return ctypes.string_at(address, size)
