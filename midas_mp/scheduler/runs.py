"""What is remembered of the runs of a task, of which there may be several; see ``copies``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midas_mp.scheduler.backlog import PrintBacklog
from midas_mp.wire.framing import Frame

if TYPE_CHECKING:
    from midas_mp.scheduler.records import Worker


class PrintTally:
    """What the client was shown of what a task printed."""

    __slots__ = ("shown", "surplus")

    def __init__(self) -> None:
        self.shown = 0
        """Texts that were passed on."""
        self.surplus = 0
        """Of those, how many the run that has the lease now has yet to print."""

    def is_new(self) -> bool:
        """Whether the next text of the run that has the lease was not shown yet; counts it."""
        if self.surplus:
            self.surplus -= 1
            return False
        self.shown += 1
        return True


class Copy:
    """A run by a worker that has no lease of the task."""

    __slots__ = ("_count", "_is_whole", "_printed")

    def __init__(self, *, is_whole: bool) -> None:
        self._is_whole = is_whole
        """All that it prints comes by here; else it had begun on an earlier connection."""
        self._printed = PrintBacklog()
        self._count = 0

    def keep(self, frame: Frame) -> None:
        """It printed something."""
        self._printed.keep(frame)
        self._count += 1

    def take_new(self, tally: PrintTally) -> list[Frame]:
        """It has the lease now: what it printed and the client was not shown yet."""
        known = tally.shown if self._is_whole else 0
        tally.surplus = max(0, known - self._count)
        tally.shown = max(tally.shown, self._count)
        return self._printed.take()[known:]


class Copying:
    """What is remembered of all copies."""

    __slots__ = ("count", "looked_at", "workers")

    def __init__(self) -> None:
        self.count = 0
        """Since the start."""
        self.workers: dict[Worker, None] = {}
        """Those that were given copies, and are not free of them yet."""
        self.looked_at = 0.0
        """When somebody last looked for what should be copied."""
