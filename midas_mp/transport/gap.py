"""Notices that this process itself stood still: stopped, suspended, or with too much to do.

Whoever waits for others, and gives up on them some time, could not have heard them meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midas_mp import limits


class GapWatch:
    """Looks at the clock every few seconds, until it is closed.

    Args:
        told: told of each time when it looked much too late, and by how much.
    """

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._wait()

    def close(self) -> None:
        """Looks no more; idempotent."""
        self._timer.cancel()

    def _wait(self) -> None:
        self._due_s = self._loop.time() + limits.LOOK_INTERVAL_S
        self._timer = self._loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        gap_s = self._loop.time() - self._due_s
        self._wait()
        if gap_s > limits.LOOK_INTERVAL_S:
            self._told(gap_s)
