"""Hostile bytes: noise, and sound bytes that somebody has tampered with.

Everything is drawn from a ``Chance``, so that a case is known by its name for ever.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack

from midas_mp.testing.chance import Chance

NOISE_BYTES_MAX: Final = 300

INTERESTING: Final = (
    *(0, 1, -1, 15, 16, 31, 32, 64, 127, 128, 255, 256, 1_024, 65_535, 65_536, 2**20),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63),
    *(2**64 - 1, -32, -33, -128, -129, -(2**31), -(2**53), -(2**53) - 1, -(2**63)),
)
"""Where numbers change how they are written, or stop being allowed."""

FLOATS: Final = (0.0, -0.0, 0.5, 1e308, -1e-308, float("inf"), float("-inf"), float("nan"), 2.0**53)

TEXTS: Final = (
    *("", "a", "a.b", "../../etc/passwd", "job-1", "\0", "\n[host] midas: all is well", "\r"),
    *(
        "\x1b[2J\x1b]0;owned\x07",
        "\u202eabc",
        "\ud7ff\ue000",
        "\U0001d54f" * 40,
        "a" * 31,
        "a" * 32,
    ),
    *("a" * 255, "a" * 256, "a" * 9_000, "%s%n", "{}", "nil", "__index", "__gc", "n"),
)
"""What people of ill will write where a name belongs."""

_COUNTS: Final = (0, 1, 2, 15, 16, 255, 65_535, 65_536, 2**31, 2**32 - 1)
_HEADS_WITH_COUNT: Final = (
    *((0xDC, ">H"), (0xDD, ">I"), (0xDE, ">H"), (0xDF, ">I"), (0xC4, ">B"), (0xC5, ">H")),
    *((0xC6, ">I"), (0xD9, ">B"), (0xDA, ">H"), (0xDB, ">I"), (0xC7, ">B"), (0xC8, ">H")),
    (0xC9, ">I"),
)
_CONTAINER_SIZES: Final = (0, 1, 2, 3, 17)
_CONTAINERS: Final = 0.4
_VALUE_DEPTH_MAX: Final = 5
_SIZES_AT_ONCE: Final = (1, 1, 2, 4, 8)


def noise(rng: Chance) -> bytes:
    """Bytes without any sense."""
    return rng.randbytes(rng.randrange(NOISE_BYTES_MAX))


def tamper(rng: Chance, data: bytes, *, times_max: int = 4) -> bytes:
    """The same bytes with up to so many changes, each somewhere."""
    for _ in range(rng.randint(1, times_max)):
        data = rng.choice(_CHANGES)(rng, data)
    return data


def cut(rng: Chance, data: bytes, pieces_max: int = 8) -> list[bytes]:
    """All of the bytes, in pieces of any size."""
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(pieces_max)))
    return [data[i:j] for i, j in zip([0, *places], [*places, len(data)], strict=True)]


def value(rng: Chance, depth: int = 0) -> Any:
    """Any value of msgpack; now and then a strange one."""
    is_container = depth < _VALUE_DEPTH_MAX and rng.happens(_CONTAINERS)
    return rng.choice(_CONTAINER_MAKERS)(rng, depth) if is_container else rng.choice(_MAKERS)(rng)


def key(rng: Chance) -> Any:
    """Whatever may be a key of a map."""
    return rng.choice((rng.choice(TEXTS), rng.choice(INTERESTING), rng.choice(FLOATS), b"k"))


def array_head(rng: Chance) -> bytes:
    """The ext value of a typed array, which may fit nothing."""
    dimensions = rng.choice((0, 1, 1, 1, 2, 8, 9, 255))
    shape = [rng.choice((0, 1, 2, 3, 2**32, 2**61, 2**63, 2**64 - 1)) for _ in range(dimensions)]
    head = struct.pack("<BBHI", rng.choice((0, *range(1, 12), 255)), dimensions, 0, _place(rng))
    elements = rng.randbytes(rng.choice((0, 0, 8, 16, 24, 7)))
    whole = head + struct.pack(f"<{dimensions}Q", *shape) + elements
    return whole[: rng.randrange(len(whole) + 1)] if rng.happens(0.1) else whole


def packed(rng: Chance, content: object) -> bytes:
    """As msgpack; what msgpack refuses becomes nil."""
    try:
        return bytes(msgpack.packb(content, use_bin_type=rng.happens(0.9)))
    except (ValueError, OverflowError, UnicodeEncodeError):
        return b"\xc0"


def nested(rng: Chance) -> bytes:
    """Containers in containers, deeper than anybody means."""
    head = rng.choice((b"\x91", b"\x92", b"\x81\x01", b"\x81\xa1a", b"\xdd\0\0\0\1", b"\xdc\0\2"))
    depth = rng.choice((60, 63, 64, 65, 66, 512, 1_024, 1_025, 30_000))
    return head * depth + rng.choice((b"", b"\xc0", b"\x90", b"\x01"))


def hollow(rng: Chance) -> bytes:
    """A head that announces more than there is."""
    code, form = rng.choice(_HEADS_WITH_COUNT)
    count = min(rng.choice(_COUNTS), 256 ** struct.calcsize(form) - 1)
    return bytes([code]) + struct.pack(form, count) + rng.randbytes(rng.choice((0, 1, 40)))


def hostile_msgpack(rng: Chance) -> bytes:
    """Bytes where a value is expected."""
    match rng.randrange(8):
        case 0:
            return noise(rng)
        case 1:
            return nested(rng)
        case 2:
            return hollow(rng)
        case 3 | 4:
            return packed(rng, value(rng))
        case _:
            return tamper(rng, packed(rng, value(rng)))


# -- values ------------------------------------------------------------------------------------


def _array(rng: Chance, depth: int) -> list[Any]:
    return [value(rng, depth + 1) for _ in range(rng.choice(_CONTAINER_SIZES))]


def _map(rng: Chance, depth: int) -> dict[Any, Any]:
    return {key(rng): value(rng, depth + 1) for _ in range(rng.choice(_CONTAINER_SIZES))}


_MAKERS: Final[tuple[Callable[[Chance], Any], ...]] = (
    lambda rng: rng.choice(INTERESTING),
    lambda rng: rng.choice(INTERESTING),
    lambda rng: rng.randint(-5, 5),
    lambda rng: rng.choice(FLOATS),
    lambda rng: rng.choice(TEXTS),
    lambda rng: rng.randbytes(rng.choice((0, 1, 8, 40))),
    lambda rng: rng.choice((None, True, False)),
    lambda rng: msgpack.ExtType(rng.choice((0, 1, 1, 1, 2, 127)), array_head(rng)),
)

_CONTAINER_MAKERS: Final = (_array, _array, _map)


# -- changes -----------------------------------------------------------------------------------


def _flip(rng: Chance, data: bytes) -> bytes:
    if not data:
        return data
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def _overwrite(rng: Chance, data: bytes) -> bytes:
    size = rng.choice(_SIZES_AT_ONCE)
    place = rng.randrange(max(1, len(data) - size + 1))
    number: int = rng.choice(INTERESTING) % 256**size
    new = number.to_bytes(size, rng.choice(("big", "little")))
    return data[:place] + new + data[place + size :]


def _shorten(rng: Chance, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _leave_out(rng: Chance, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:start] + data[stop:]


def _repeat(rng: Chance, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:stop] + data[start:stop] * rng.choice((1, 2, 30)) + data[stop:]


def _swap(rng: Chance, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:start] + data[stop:] + data[start:stop]


def _insert(rng: Chance, data: bytes) -> bytes:
    place = rng.randrange(len(data) + 1)
    new = rng.choice((noise, hollow, nested, _one_value))(rng)[:NOISE_BYTES_MAX]
    return data[:place] + new + data[place:]


def _one_value(rng: Chance) -> bytes:
    return packed(rng, value(rng, 4))


def _span(rng: Chance, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 30)))


def _place(rng: Chance) -> int:
    """The number of a buffer."""
    return rng.choice((0, 0, 0, 1, 1, 2, 3, 8_191, 2**31, 2**32 - 1))


_CHANGES: Final[tuple[Callable[[Chance, bytes], bytes], ...]] = (
    *(_flip, _flip, _flip, _overwrite, _overwrite),
    *(_shorten, _leave_out, _repeat, _swap, _insert),
)
