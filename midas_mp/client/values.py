"""Python values ↔ payloads: what a call takes, and what it returns.

    None, bool, int, float, str, bytes, list, dict, NumPy array        (tuples go as lists)

msgpack does the work, in C; only where it refuses something is the value walked once more to say
where it is.  Nothing here runs code that came from elsewhere.
"""

from __future__ import annotations

import functools
import itertools
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgpack

from midas_mp import limits
from midas_mp.client import arrays
from midas_mp.errors import ProtocolError, UnsendableValue
from midas_mp.wire.framing import Buffer, size_bytes

Payload = Sequence[Buffer]

_INT_MAX: Final = 2**64 - 1
_INT_MIN: Final = -(2**63)
_LUA_INT_MAX: Final = 2**53
_SHOWN_CHARACTERS_MAX: Final = 40
_ARRAY_HEAD: Final = struct.Struct(">BI")
_ARRAY_32: Final = 0xDD
_SECRET: Final = os.urandom(16)
_SEPARATOR: Final[bytes] = msgpack.packb(_SECRET)
_TRIED_AT_ONCE: Final = (1, 15, None)
"""Of many rows: if the first are large, the others are as a rule."""
_START_BYTES: Final = 4 * limits.KB
"""Of a packer's memory; it grows by doubling."""


class Packer:
    """Makes payloads; for one thread at a time."""

    def __init__(self) -> None:
        self._buffers: list[Buffer] = []
        self._is_plain = False
        """Whether there shall be no such buffers."""
        self._packer = msgpack.Packer(default=self._convert, buf_size=_START_BYTES)

    def arguments(self, values: Sequence[object]) -> list[Buffer]:
        """What one call takes.

        Raises:
            UnsendableValue: one of them cannot be sent; says which and where in it.
        """
        try:
            payload = self._pack(values)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _explained(values, error) from None
        _check_size(payload)
        return payload

    def plain_arguments(
        self, rows: Iterable[Sequence[object]], bytes_max: int
    ) -> list[bytes] | None:
        """What several calls take, each in one buffer; None where that is not so, or is more.

        None too where something cannot be sent: ``arguments`` says what.  Not much more is packed,
        and no array copied, before that is known.
        """
        payloads: list[bytes] = []
        size = 0
        rows = iter(rows)
        self._is_plain = True
        try:
            for count in _TRIED_AT_ONCE:
                payloads += map(self._packer.pack, itertools.islice(rows, count))
                size = sum(map(len, payloads))
                if size > bytes_max:
                    return None
        except (TypeError, ValueError, OverflowError, RecursionError):
            return None
        finally:
            self._is_plain = False
        return payloads

    def batch(self, arity: int, first_index: int, values: Iterable[object]) -> list[Buffer]:
        """What the calls of a batch take, one after the other.

        Raises:
            UnsendableValue: one of them cannot be sent; ``arguments`` of each tells which.
        """
        try:
            payload = self._pack([arity, first_index, *values])
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise UnsendableValue(str(error)) from None
        _check_size(payload)
        return payload

    def _pack(self, values: Sequence[object]) -> list[Buffer]:
        try:
            return [self._packer.pack(values), *self._buffers]
        finally:
            if self._buffers:
                self._buffers = []

    def _convert(self, value: object) -> object:
        """What msgpack knows nothing of."""
        if arrays.is_array(value):
            if self._is_plain and value.nbytes >= arrays.INLINE_BYTES_MAX:  # type: ignore[attr-defined]
                raise UnsendableValue("a large array has a buffer of its own")
            return msgpack.ExtType(arrays.EXT_TYPE, arrays.pack_array(value, self._buffers))  # type: ignore[arg-type]
        if arrays.is_scalar(value):
            plain = value.item()  # type: ignore[attr-defined]
            if isinstance(plain, bool | int | float | str | bytes):
                return plain
        raise UnsendableValue(f"cannot send a {type(value).__name__}")


def unpack(payload: Payload, *, raw: bool = False) -> Any:
    """The value of a payload; arrays in it are read-only and stay where they are.

    Args:
        payload: as it arrived.
        raw: every string of Lua as bytes, whatever is in it.

    Raises:
        ProtocolError: it is no payload.
        UsageError: there is an array in it, and NumPy is not installed.
    """
    hook = functools.partial(_read_extension, payload)
    try:
        value = msgpack.unpackb(payload[0], raw=raw, strict_map_key=False, ext_hook=hook)
    except (ValueError, IndexError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not a payload: {error}") from None
    return value


def unpack_many(payloads: Sequence[Buffer], *, raw: bool = False) -> list[Any]:
    """The values of payloads of one buffer each.

    They are read as one array: that costs a fifth of reading each for itself.  Between them stands
    a word that nobody else knows: whoever sends two values instead of one, or half of one, would
    otherwise shift what others have sent.

    Raises:
        ProtocolError, UsageError: as ``unpack``.
    """
    count = len(payloads)
    head = _ARRAY_HEAD.pack(_ARRAY_32, 2 * count)
    pieces: list[Buffer] = [_SEPARATOR] * (2 * count)
    pieces[::2] = payloads
    try:
        values: list[Any] = unpack([b"".join([head, *pieces])], raw=raw)
    except ProtocolError:
        values = []
    if not _are_separated(values, count):
        return [unpack([payload], raw=raw) for payload in payloads]
    return values[::2]


def array_length(payload: Payload) -> int:
    """How many values the array has that a payload begins with; -1 where it is none."""
    unpacker = msgpack.Unpacker()
    try:
        unpacker.feed(payload[0][: _ARRAY_HEAD.size])
        return int(unpacker.read_array_header())
    except (ValueError, IndexError, msgpack.UnpackException):
        return -1


def _are_separated(values: Sequence[object], count: int) -> bool:
    """Whether every second of them is the secret."""
    try:
        return values[1::2].count(_SECRET) == count
    except ValueError:  # an array of NumPy is neither equal to anything nor is it not
        return False


def _read_extension(payload: Payload, code: int, data: bytes) -> object:
    if code != arrays.EXT_TYPE:
        raise ProtocolError(f"msgpack extension type {code}")
    return arrays.unpack_array(data, payload)


def _check_size(payload: Payload) -> None:
    if len(payload) > limits.BUFFERS_MAX:
        raise UnsendableValue(
            f"{len(payload) - 1} arrays in one call; the limit is {limits.BUFFERS_MAX - 1}"
        )
    size = len(payload[0]) if len(payload) == 1 else size_bytes(payload)
    if size > limits.PAYLOAD_BYTES_MAX:
        shown, limit = -(-size // limits.MB), limits.PAYLOAD_BYTES_MAX // limits.MB
        raise UnsendableValue(f"{shown} MB in one call; the limit is {limit} MB")


# -- saying where the trouble is ---------------------------------------------------------------


def _explained(values: Sequence[object], error: Exception) -> UnsendableValue:
    return UnsendableValue(_find_in_arguments(values, _objection) or str(error))


def refused_by_lua(values: Sequence[object]) -> str | None:
    """Where arguments hold what msgpack takes and Lua has not; None where they do not.

    The side that runs Lua finds it, but knows no Python and no path.
    """
    return _find_in_arguments(values, _objection_of_lua)


_Objection = Callable[[object], str | None]


def _find_in_arguments(values: Sequence[object], objection: _Objection) -> str | None:
    for number, value in enumerate(values, 1):
        found = _find(value, "", 0, objection)
        if found is not None:
            path, reason = found
            return f"argument {number}: {path}{': ' if path else ''}{reason}"
    return None


def _find(value: object, path: str, depth: int, objection: _Objection) -> tuple[str, str] | None:
    """The first place in a value that cannot be sent, and why."""
    if depth > limits.VALUE_DEPTH_MAX:
        return path[:_SHOWN_CHARACTERS_MAX] + "…", (
            f"nested deeper than {limits.VALUE_DEPTH_MAX}, or holds itself"
        )
    if isinstance(value, Mapping):
        return _find_in_mapping(value, path, depth, objection)
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            place = f"{path}[{index}]"
            if item is None and objection is _objection_of_lua:
                return place, "None inside a list; Lua's arrays have no holes"
            found = _find(item, place, depth + 1, objection)
            if found is not None:
                return found
        return None
    reason = objection(value)
    return None if reason is None else (path, reason)


def _find_in_mapping(
    value: Mapping[object, object], path: str, depth: int, objection: _Objection
) -> tuple[str, str] | None:
    if not isinstance(value, dict):
        return path, f"cannot send a {type(value).__name__}; dict() makes it one"
    for key, item in value.items():
        if isinstance(key, bool) or not isinstance(key, str | bytes | int | float) or key != key:  # noqa: PLR0124 - nan
            shown = "nan" if isinstance(key, float) else f"a {type(key).__name__}"
            return path, f"a key that is {shown}, neither text nor a number"
        name = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_shown(key)}]"
        found = _find(item, path + name, depth + 1, objection)
        if found is not None:
            return found
    return None


def _objection(value: object) -> str | None:
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return None
        return "an integer of more than 64 bits; float() makes it a number of Lua"
    try:
        Packer()._pack(value)  # type: ignore[arg-type]  # noqa: SLF001 - any value will do
    except UnicodeEncodeError:
        return f"{_shown(value)} is no valid text; encode() makes it bytes"
    except (TypeError, ValueError, OverflowError) as error:
        return str(error)
    return None


def _objection_of_lua(value: object) -> str | None:
    if isinstance(value, int) and abs(value) > _LUA_INT_MAX:
        return "an integer beyond 2^53; float() makes it a number of Lua"
    return None


def _shown(value: object) -> str:
    text = repr(value)
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return text[: _SHOWN_CHARACTERS_MAX - 1] + "…"
