"""Payloads with typed arrays, as a program without Midas would write them."""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import NamedTuple

import msgpack

from midas_mp import limits
from midas_mp.lua.outbound import Outbound

EXT_ARRAY = 1

CODES = {
    "float64": (1, "d"),
    "float32": (2, "f"),
    "int8": (3, "b"),
    "int16": (4, "h"),
    "int32": (5, "i"),
    "uint8": (6, "B"),
    "uint16": (7, "H"),
    "uint32": (8, "I"),
    "int64": (9, "q"),
    "uint64": (10, "Q"),
}
TYPES = tuple(CODES)
NAMES = {code: name for name, (code, _) in CODES.items()}


class Array(NamedTuple):
    """What an ext says; ``data`` is what follows its head."""

    type: str
    shape: tuple[int, ...]
    buffer: int = 0
    data: bytes = b""

    @property
    def size(self) -> int:
        size = 1
        for each in self.shape:
            size *= each
        return size

    def values(self, *buffers: bytes) -> list[float]:
        """Its elements, wherever they are."""
        data = buffers[self.buffer] if self.buffer else self.data
        return list(struct.unpack(f"<{self.size}{CODES[self.type][1]}", data))


def array(type_: str, values, shape=None, buffer=0) -> msgpack.ExtType:
    """An ext; with the elements in it where it names no buffer."""
    shape = (len(values),) if shape is None else shape
    data = b"" if buffer else elements(type_, values)
    return head(CODES[type_][0], shape, buffer, data)


def head(code, shape, buffer=0, data=b"", zero=0) -> msgpack.ExtType:
    dimensions = len(shape)
    start = struct.pack(f"<BBHI{dimensions}Q", code, dimensions, zero, buffer, *shape)
    return msgpack.ExtType(EXT_ARRAY, start + data)


def elements(type_: str, values) -> bytes:
    return struct.pack(f"<{len(values)}{CODES[type_][1]}", *values)


def unpack(data: bytes):
    """A value, with an Array in the place of each."""
    return msgpack.unpackb(data, ext_hook=_array, strict_map_key=False)


def _array(code: int, data: bytes) -> Array:
    assert code == EXT_ARRAY
    kind, dimensions, zero, buffer = struct.unpack_from("<BBHI", data)
    assert zero == 0
    shape = struct.unpack_from(f"<{dimensions}Q", data, 8)
    return Array(NAMES[kind], shape, buffer, data[8 + 8 * dimensions :])


def address_of(memory) -> int:
    """Of something writable."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class OutboundMemory(Outbound):
    """Of this process alone."""

    def __init__(self, granules):
        self.memory = mmap.mmap(-1, granules * limits.OUTBOUND_GRANULE_BYTES)
        super().__init__(address_of(self.memory), len(self.memory))

    def read(self, block):
        return self.memory[block.offset : block.offset + block.size_bytes]
