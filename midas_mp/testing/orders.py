"""What the tasks of a simulation are told to do, and what they answer: functions of who they are.

So everybody can say what is right: the client which result must come, a process whether it was
given the shared data of this round.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer


class Orders(msgspec.Struct, frozen=True, array_like=True):
    """The payload of one task.

    Attributes:
        title: of its job.
        seconds: how long it computes.
        shared: whether it reads the round's shared data.
        crashes: in how many of its attempts it takes its process down; a poison task always does.
        fails: whether it ends with an error of the script.
        prints: how many lines it prints.
        answer_bytes: padding of its result.
        bundle: the number of the one that it is of.
    """

    title: str
    round: int
    index: int
    seconds: float
    shared: bool = False
    crashes: int = 0
    fails: bool = False
    prints: int = 0
    answer_bytes: int = 0
    bundle: int = 0

    @property
    def name(self) -> tuple[str, int, int]:
        return self.title, self.round, self.index

    def printed(self) -> list[bytes]:
        """What it prints, in order."""
        return [b"%d: line %d" % (self.round, number) for number in range(self.prints)]


POISON: Final = 1_000
"""As ``crashes``: always."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Orders)


def encode(orders: Orders) -> bytes:
    return _encoder.encode(orders)


def decode(payload: Buffer) -> Orders:
    return _decoder.decode(payload)


@functools.cache
def bundle(number: int) -> Bundle:
    """One of those that a job may have."""
    return Bundle.from_sources("simulated.lua", [], [b"-- nobody runs this: %d" % number])


def shared_payload(title: str, round_: int, size_bytes: int) -> list[bytes]:
    """The shared data of a round, in two buffers."""
    seed = hashlib.blake2b(f"{title}/{round_}".encode(), digest_size=32).digest()
    data = (seed * (size_bytes // len(seed) + 1))[:size_bytes]
    return [data[: size_bytes // 3], data[size_bytes // 3 :]]


def fingerprint(buffers: Sequence[Buffer]) -> str:
    """Tells shared data apart, fast, wherever they are cut."""
    checksum = 0
    for buffer in buffers:
        checksum = zlib.crc32(buffer, checksum)
    return f"{checksum:08x}"


def answer(orders: Orders, shared: str) -> bytes:
    """The result of a task, given the fingerprint of the shared data that it read."""
    return _encoder.encode(
        [orders.title, orders.round, orders.index, shared, b"x" * orders.answer_bytes]
    )
