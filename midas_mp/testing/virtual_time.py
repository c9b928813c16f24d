"""An asyncio event loop whose clock stands still while anything runs, and jumps when nothing does.

Whatever waits for time (a delay, a time-out, a process that computes) is over at once, in the
order of its time; an hour of a cluster's life takes as long as its events.  Nothing is read from
the machine: what runs on such a loop does the same thing every time.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Mapping
from typing import Any, Final

TURNS_AT_A_TIME_MAX: Final = 100_000
"""Turns of the loop at one moment of virtual time; the busiest honest one has some hundred."""


_ROUNDING_S: Final = 1e-9
"""Added to each jump, so that no timer is ever woken a rounding error before its time."""


class Deadlock(AssertionError):
    """Nothing is ready and nobody waits for time: what is awaited can never come."""


class Livelock(AssertionError):
    """The loop turns and turns, and time stands still."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Starts at time 0.

    Raises, out of ``run_until_complete``:
        Deadlock: the awaited future can never be done.
        Livelock: something calls itself back for ever.
    """

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s


class _Clock(selectors.BaseSelector):
    """Where a loop would wait for files: instead of waiting, the time is moved."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._turns = 0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """No file is ever ready."""
        if timeout is None:
            raise Deadlock("nothing is ready, and nothing ever will be")
        if timeout > 0:
            self.now_s = math.nextafter(self.now_s + timeout, math.inf) + _ROUNDING_S
            self._turns = 0
            return []
        self._turns += 1
        if self._turns > TURNS_AT_A_TIME_MAX:
            raise Livelock(f"{self._turns} turns of the loop, and it is still {self.now_s:.6f}")
        return []

    # The loop registers the socket by which other threads would wake it; there are none.

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys
