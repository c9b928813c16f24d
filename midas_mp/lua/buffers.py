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


# -- where a buffer lies ---------------------------------------------------------------------


class _HeldView(ctypes.Structure):
    """Py_buffer of the stable ABI."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_PYBUF_SIMPLE: Final = 0
_view_p: Final = ctypes.POINTER(_HeldView)
_get_buffer: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, _view_p, ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release_buffer: Final = ctypes.PYFUNCTYPE(None, _view_p)(("PyBuffer_Release", ctypes.pythonapi))


class HeldBuffer:
    """A contiguous buffer that neither moves nor ends until it is released.

    Attributes:
        address: where it begins.
        size_bytes: how long it is.
    """

    __slots__ = ("_view", "address", "size_bytes")

    def __init__(self, buffer: Buffer) -> None:
        """Holds it.

        Raises:
            BufferError: it is not contiguous.
        """
        self._view = _HeldView()
        _get_buffer(buffer, ctypes.byref(self._view), _PYBUF_SIMPLE)
        self.address: int = self._view.buf or 0
        self.size_bytes: int = self._view.len

    def release(self) -> None:
        """Lets go of it; once."""
        _release_buffer(ctypes.byref(self._view))
