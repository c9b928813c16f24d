"""Which parts of a pool are free: first fit, lowest address first.

Lowest first, since pages that were touched before cost a tenth of fresh ones: what is used often
stays at the bottom, and what is free above it can be given back to the kernel.
"""

from __future__ import annotations

import bisect


class Extents:
    """Sizes and offsets are whatever they are given as: their owner rounds.

    Attributes:
        used: how much is taken.
        high_water: the highest end of anything taken since it was last set.
    """

    def __init__(self, size: int) -> None:
        self.used = 0
        self.high_water = 0
        self._size = size
        self._starts = [0]
        """Of what is free, ascending; no two pieces touch."""
        self._ends = [size]

    @property
    def end(self) -> int:
        """Of the highest that is taken."""
        return self._starts[-1] if self._ends and self._ends[-1] == self._size else self._size

    def take(self, size: int) -> int | None:
        """The lowest place for so much; None if there is none."""
        for number, start in enumerate(self._starts):
            rest = self._ends[number] - start - size
            if rest < 0:
                continue
            if rest:
                self._starts[number] = start + size
            else:
                del self._starts[number]
                del self._ends[number]
            self.used += size
            self.high_water = max(self.high_water, start + size)
            return start
        return None

    def give_back(self, start: int, size: int) -> None:
        """Frees what was taken, whole."""
        end = start + size
        self.used -= size
        number = bisect.bisect(self._starts, start)
        joins_before = number > 0 and self._ends[number - 1] == start
        joins_after = number < len(self._starts) and self._starts[number] == end
        if joins_before and joins_after:
            self._ends[number - 1] = self._ends.pop(number)
            del self._starts[number]
        elif joins_before:
            self._ends[number - 1] = end
        elif joins_after:
            self._starts[number] = start
        else:
            self._starts.insert(number, start)
            self._ends.insert(number, end)

    def free_between(self, low: int, high: int) -> list[tuple[int, int]]:
        """From where to where there is nothing, ascending."""
        first = bisect.bisect_right(self._ends, low)
        last = bisect.bisect_left(self._starts, high)
        pieces = zip(self._starts[first:last], self._ends[first:last], strict=True)
        return [(max(start, low), min(end, high)) for start, end in pieces]
