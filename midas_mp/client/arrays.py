"""NumPy arrays as typed arrays on the wire: the only module that imports numpy.

An array is a msgpack ext value in buffer 0 of its payload:

    u8 element type | u8 ndim | u16 0 | u32 buffer index | u64 for each dimension [| elements]

and its elements, little-endian and in C order, are the buffer of that index; or they follow in
the ext value itself where the index is 0, which small arrays do.
"""

from __future__ import annotations

import math
import operator
import struct
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.errors import ProtocolError, UnsendableValue, UsageError
from midas_mp.wire.framing import Buffer

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    AnyArray = NDArray[Any]

EXT_TYPE: Final = 1

INLINE_BYTES_MAX: Final = 1 * limits.KB
"""Above it an array is a buffer of its own."""

_PACKAGE: Final = __name__.partition(".")[0] + "."
_DIMENSIONS_MAX: Final = 8
_HEAD: Final = struct.Struct("<BBHI")
_NAMES: Final = (
    *("float64", "float32", "int8", "int16", "int32"),
    *("uint8", "uint16", "uint32", "int64", "uint64"),
)
_CODES: Final = {name: code for code, name in enumerate(_NAMES, 1)}


def is_array(value: object) -> bool:
    """Without importing numpy: who has made an array has imported it."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_scalar(value: object) -> bool:
    """Whether it is a number, text or truth value of NumPy's own."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def pack_array(array: AnyArray, buffers: list[Buffer]) -> bytes:
    """The ext value of an array; its elements join the buffers, unless they are few.

    Args:
        array: of any shape.
        buffers: of the payload, without the msgpack.

    Raises:
        UnsendableValue: no such array exists in Lua.
    """
    dtype = array.dtype
    code = _CODES.get(dtype.name)
    if code is None or not dtype.isnative:
        raise UnsendableValue(
            f"cannot send an array of dtype {dtype}; astype() makes it one of {', '.join(_NAMES)}"
        )
    if isinstance(array, _numpy().ma.MaskedArray):
        raise UnsendableValue("cannot send a masked array; filled() makes it a plain one")
    if not 1 <= array.ndim <= _DIMENSIONS_MAX:
        raise UnsendableValue(
            f"cannot send an array of {array.ndim} dimensions, only of 1 to {_DIMENSIONS_MAX}"
        )
    if not array.flags.c_contiguous:
        # Python says the same warning of the same place once
        warnings.warn(
            "an array that is not contiguous in C order is copied to be sent; "
            "numpy.ascontiguousarray() does so once for all",
            stacklevel=_callers_level(),
        )
        array = array.copy(order="C")
    shape = struct.pack(f"<{array.ndim}Q", *array.shape)
    if array.nbytes < INLINE_BYTES_MAX:
        return _HEAD.pack(code, array.ndim, 0, 0) + shape + array.tobytes()
    buffers.append(_elements(array))
    return _HEAD.pack(code, array.ndim, 0, len(buffers)) + shape


def empty(shape: SupportsIndex | Iterable[SupportsIndex], dtype: DTypeLike = "float64") -> AnyArray:
    """A new array in shared memory: as an argument it is read where it is, without any copy.

    Its elements are whatever was there before.  Until the calls that it was given to have ended,
    what is written to it changes what they read; and a process that is forked has no copy of it,
    but the very same array.

    Args:
        shape: its dimensions.
        dtype: one of those that Lua has.

    Raises:
        UnsendableValue: another one, or too many dimensions, or none.
        UsageError: NumPy is not installed.
    """
    np = _numpy()
    kind = np.dtype(dtype)
    if kind.name not in _CODES or not kind.isnative:
        raise UnsendableValue(f"there is no array of dtype {kind} in Lua, only {', '.join(_NAMES)}")
    dimensions = _dimensions(shape)
    length = math.prod(dimensions)
    block = pool.allocate(max(1, length) * kind.itemsize)
    if block is None:
        array: AnyArray = np.empty(dimensions, kind)
    else:
        array = np.frombuffer(block, kind, count=length).reshape(dimensions)
    return array


def _dimensions(shape: SupportsIndex | Iterable[SupportsIndex]) -> tuple[int, ...]:
    """As NumPy understands a shape."""
    dimensions: tuple[int, ...]
    if isinstance(shape, Iterable):
        dimensions = tuple(map(operator.index, shape))
    else:
        dimensions = (operator.index(shape),)
    if not 1 <= len(dimensions) <= _DIMENSIONS_MAX:
        raise UnsendableValue(
            f"there is no array of {len(dimensions)} dimensions in Lua, only of 1 to "
            f"{_DIMENSIONS_MAX}"
        )
    if min(dimensions) < 0:
        raise ValueError("negative dimensions are not allowed")
    return dimensions


def unpack_array(data: bytes, buffers: Sequence[Buffer]) -> AnyArray:
    """The array of an ext value, read-only and in place.

    Args:
        data: the ext value's.
        buffers: of the payload, with the msgpack at 0.

    Raises:
        ProtocolError: it fits neither itself nor the buffers.
        UsageError: NumPy is not installed.
    """
    try:
        code, ndim, _, index = _HEAD.unpack_from(data)
        shape = struct.unpack_from(f"<{ndim}Q", data, _HEAD.size)
    except struct.error:
        raise ProtocolError(f"an array's head of {len(data)} bytes") from None
    if not (1 <= code <= len(_NAMES) and 1 <= ndim <= _DIMENSIONS_MAX and index < len(buffers)):
        raise ProtocolError(f"an array of type {code}, {ndim} dimensions, in buffer {index}")
    elements = memoryview(buffers[index] if index else data[_HEAD.size + 8 * ndim :])
    dtype = _numpy().dtype(_NAMES[code - 1])
    if math.prod(shape) * dtype.itemsize != elements.nbytes:
        raise ProtocolError(f"an array {shape} of {dtype} in {elements.nbytes} bytes")
    try:
        array: AnyArray = _numpy().frombuffer(elements, dtype).reshape(shape)
    except ValueError as error:  # of no elements, but more of them than can be counted
        raise ProtocolError(f"an array {shape} of {dtype}: {error}") from None
    array.flags.writeable = False
    return array


def _callers_level() -> int:
    """How many frames above who asks the user's own code is."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - so does warnings, from Python 3.12 on
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def _elements(array: AnyArray) -> Buffer:
    """Where the caller may not write any more: a copy, unless the array was made by ``empty``."""
    if array.nbytes >= limits.BLOB_BYTES_MIN:
        place = pool.place(array.reshape(-1).view("u1").data)
        if place is not None:
            return place.view
    return array.tobytes()


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError:
        raise UsageError(
            "an array needs NumPy: install it (pip install 'midas_mp[numpy]')"
        ) from None
    return np
