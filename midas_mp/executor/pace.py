"""How many items of a map one task takes.  Pure: it learns from what the last tasks took."""

from __future__ import annotations

from typing import Final

from midas_mp import limits

TASK_TIME_TARGET_S: Final = 0.003
"""Work in one task: long beside the fixed cost of a task (some 50 us), short beside what a person
or another worker waits."""

GROWTH_MAX: Final = 16
"""From one size to the next: the first items may not be like the others."""

TASK_BYTES_TARGET: Final = 4 * limits.MB
"""Of arguments, and of results: large items are not gathered."""

_TAIL_PARTS: Final = 2
"""Tasks that each worker shall still get of what is left, so that all end at the same time."""

_TAIL_SHRINK_MAX: Final = 8
"""But they get no smaller than that part of a usual one."""

_WEIGHT_MIN: Final = 0.5
"""Of the last measurement against all before."""


class Pace:
    """Sizes of tasks, from 1 up to what the work allows."""

    def __init__(self) -> None:
        self._item_us = 0.0
        self._item_bytes = 0.0
        self._usual = 1
        self._learnt_items = 0
        """In the last task that it learnt from."""

    def size(self, left: int, workers: int) -> int:
        """Items for the next task, of so many that are left for so many workers; at least 1."""
        usual = self._usual
        share = -(-left // (_TAIL_PARTS * max(1, workers)))
        return max(1, min(usual, left, max(share, usual // _TAIL_SHRINK_MAX)))

    def learn(self, items: int, duration_us: int, size_bytes: int) -> None:
        """A task of so many items is done; its larger payload had so many bytes."""
        # a larger task than the last measures better: less of it is fixed cost
        weight = max(_WEIGHT_MIN, items / (items + self._learnt_items))
        self._learnt_items = items
        self._item_us += weight * (max(1, duration_us) / items - self._item_us)
        self._item_bytes += weight * (size_bytes / items - self._item_bytes)
        by_time = TASK_TIME_TARGET_S * 1e6 / self._item_us
        by_size = TASK_BYTES_TARGET / max(1.0, self._item_bytes)
        grown = GROWTH_MAX * max(items, self._usual // GROWTH_MAX)
        self._usual = max(1, int(min(by_time, by_size, grown)))
