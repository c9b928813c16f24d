"""How long the tasks of a round took: enough of it for a median, in the same room for millions.

Times are counted by size, in eight steps to the double, so a median is too large by 9 % at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from midas_mp import limits

STEPS_PER_DOUBLE: Final = 8


class TaskTimes:
    """Of one round at a time.

    Attributes:
        round: which.
        bound_s: what its tasks were last said to be allowed to take; 0 is nothing.
        is_new: whether more has been counted than anybody has looked at.
    """

    __slots__ = ("_counts", "_total", "bound_s", "is_new", "round")

    def __init__(self) -> None:
        self._total = 0
        self._begin(0)

    def add(self, round_: int, durations_us: Iterable[int]) -> None:
        """Count tasks of a round that succeeded; those of a later one begin anew."""
        if round_ != self.round:
            if round_ < self.round:
                return
            self._begin(round_)
        for duration_us in durations_us:
            size = int(math.log2(max(duration_us, 1)) * STEPS_PER_DOUBLE)
            self._counts[size] = self._counts.get(size, 0) + 1
            self._total += 1
            self.is_new = True

    def median_us(self, unfinished_count: int) -> float | None:
        """The upper end of the step that the median is in.

        Args:
            unfinished_count: tasks that have begun and are taken for the longest.

        Returns:
            None while it cannot be told.
        """
        if self._total < limits.MEDIAN_RESULTS_MIN:
            return None
        rank = (self._total + unfinished_count) // 2
        for size, count in sorted(self._counts.items()):
            if rank < count:
                return float(2.0 ** ((size + 1) / STEPS_PER_DOUBLE))
            rank -= count
        return None

    def _begin(self, round_: int) -> None:
        self.round = round_
        self.bound_s = 0.0
        self.is_new = False
        self._counts: dict[int, int] = {}
        self._total = 0
