"""What a bad network does to the bytes of one direction of a connection: flips bits, says some
bytes twice, gives others out of order.  On a seed, and by place: however a stream is cut into
pieces, the same of its bytes are spoiled.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from midas_mp.testing.chance import Chance

STRETCH_BYTES_MAX: Final = 64
"""What comes twice, or after what was sent behind it."""


class Spoil(NamedTuple):
    """How often, in bytes from one time to the next on average; 0 is never."""

    flip_every_bytes: float = 0
    duplicate_every_bytes: float = 0
    reorder_every_bytes: float = 0


class Spoiler:
    """Spoils one stream.

    Attributes:
        counts: what was done how often.
    """

    def __init__(self, spoil: Spoil, rng: Chance, counts: Counter[str]) -> None:
        self.counts = counts
        self._rng = rng
        self._place = 0
        acts: list[tuple[float, Callable[[bytearray, int], None]]] = [
            (spoil.flip_every_bytes, self._flip),
            (spoil.duplicate_every_bytes, self._duplicate),
            (spoil.reorder_every_bytes, self._reorder),
        ]
        self._acts = [(every, act) for every, act in acts if every]
        self._due = [self._next(0, every) for every, _ in self._acts]

    def spoil(self, data: bytes) -> bytes:
        """The next piece of the stream, as it arrives."""
        end = self._place + len(data)
        if min(self._due, default=math.inf) >= end:
            self._place = end
            return data
        spoiled = bytearray(data)
        for number, (every, act) in enumerate(self._acts):
            while self._due[number] < end:
                act(spoiled, self._due[number] - self._place)
                self._due[number] = self._next(self._due[number] + 1, every)
        self._place = end
        return bytes(spoiled)

    def _next(self, place: int, every: float) -> int:
        return place + int(self._rng.expovariate(1 / every))

    def _flip(self, data: bytearray, place: int) -> None:
        self.counts["flipped bits"] += 1
        data[place] ^= 1 << self._rng.randrange(8)

    def _duplicate(self, data: bytearray, place: int) -> None:
        self.counts["doubled stretches"] += 1
        stop = place + self._rng.randint(1, STRETCH_BYTES_MAX)
        data[place:place] = data[place:stop]

    def _reorder(self, data: bytearray, place: int) -> None:
        self.counts["stretches out of order"] += 1
        size = self._rng.randint(1, STRETCH_BYTES_MAX)
        first, second = data[place : place + size], data[place + size : place + 2 * size]
        data[place : place + 2 * size] = second + first
