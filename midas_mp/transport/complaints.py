"""What a host says of those whom it turns away: some lines, however many knock."""

from __future__ import annotations

from collections.abc import Callable

from midas_mp import limits


class Complaints:
    """Passes on a few at once, then one each second, and says how many there were in between.

    Args:
        tell: what to do with a line.
        clock: seconds, from any moment on.
    """

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._tell = tell
        self._clock = clock
        self._credit = float(limits.TURNED_AWAY_BURST)
        self._counted_s = clock()
        self._untold = 0

    def add(self, text: str) -> None:
        """One more."""
        now_s = self._clock()
        earned = (now_s - self._counted_s) * limits.TURNED_AWAY_PER_S
        self._credit = min(self._credit + earned, limits.TURNED_AWAY_BURST)
        self._counted_s = now_s
        if self._credit < 1:
            self._untold += 1
            return
        self._credit -= 1
        untold, self._untold = self._untold, 0
        self._tell(f"{text} (and {untold} more were turned away before)" if untold else text)
