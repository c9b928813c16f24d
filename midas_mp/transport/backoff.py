"""How long to wait before the next try, so that a fleet does not come back all at once."""

from __future__ import annotations

import random
from typing import Final

FIRST_DELAY_S: Final = 0.2


class Backoff:
    """Full jitter: each delay is drawn from zero to a bound that doubles up to a cap.

    The scheme is that of M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, *, delay_s_max: float, jitter: random.Random) -> None:
        self._delay_s_max = delay_s_max
        self._jitter = jitter
        self._bound_s = FIRST_DELAY_S

    def next_delay_s(self) -> float:
        """Seconds to wait now."""
        delay_s = self._jitter.uniform(0, self._bound_s)
        self._bound_s = min(2 * self._bound_s, self._delay_s_max)
        return delay_s

    def reset(self) -> None:
        """It went well: the next failure is a first one."""
        self._bound_s = FIRST_DELAY_S
