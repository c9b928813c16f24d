"""How long the tasks of one job take: a peak that is held, and let go slowly.

For a batch of ``n`` measured tasks with mean ``m`` and longest ``p`` (all in microseconds):

    estimate ← max(p, m + (estimate - m) · KEEP**n)

So one long task is believed at once, because leasing too much of long work makes idle workers
wait, while leasing too little of short work costs one round trip.  After it, every short task
takes one part in 32 off the excess: half is gone after 22 tasks.  The mean is taken of as many.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits

KEEP: Final = 31 / 32
QUEUE_TIME_TARGET_US: Final = limits.QUEUE_TIME_TARGET_S * 1e6
DEPTH_LONG: Final = 2
"""Leases of one worker when tasks are long: one runs, one is at hand (and can be recalled)."""


class Estimate:
    """The estimate of one job, and the depth of a worker's queue that follows from it."""

    __slots__ = ("depth", "mean_us", "task_us")

    def __init__(self) -> None:
        self.task_us: float | None = None
        """None until something was measured."""
        self.mean_us = 0.0
        """Of the last tasks."""
        self.depth = 1
        """Tasks that one worker should hold."""

    def observe(self, task_count: int, total_us: int, longest_us: int) -> None:
        """Learn from one batch of results."""
        mean = total_us / task_count
        if self.task_us is None:
            self.mean_us = mean
            self.task_us = max(float(longest_us), 1.0)
        else:
            kept = KEEP**task_count
            self.mean_us = mean + (self.mean_us - mean) * kept
            held = mean + (self.task_us - mean) * kept
            self.task_us = max(float(longest_us), held, 1.0)
        if self.is_long:
            self.depth = DEPTH_LONG
        else:
            self.depth = min(limits.QUEUE_TASKS_MAX, int(QUEUE_TIME_TARGET_US / self.task_us) + 1)

    @property
    def is_long(self) -> bool:
        """Whether one task fills a worker's queue by itself; unknown counts as long."""
        return self.task_us is None or self.task_us >= QUEUE_TIME_TARGET_US

    @property
    def assumed_us(self) -> float:
        """The estimate, or the longest that still is "short" where nothing was measured."""
        return QUEUE_TIME_TARGET_US if self.task_us is None else self.task_us
