"""What is remembered of the runs of a task, of which there may be several; see ``copies``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midas_mp import limits
from midas_mp.scheduler.backlog import FRAME_BYTES
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, size_bytes

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


class PrintRoom:
    """What all copies together may keep of what they print."""

    __slots__ = ("used_bytes",)

    def __init__(self) -> None:
        self.used_bytes = 0


class Copy:
    """A run by a worker that has no lease of the task."""

    __slots__ = (
        "_count",
        "_dropped",
        "_dropped_count",
        "_frames",
        "_is_whole",
        "_room",
        "used_bytes",
    )

    def __init__(self, room: PrintRoom, *, is_whole: bool) -> None:
        self._room = room
        self._is_whole = is_whole
        """All that it prints comes by here; else it had begun on an earlier connection."""
        self._count = 0
        self._frames: list[Frame] = []
        """The last of these, or the last before those that were dropped."""
        self.used_bytes = 0
        """Of the room."""
        self._dropped: Frame | None = None
        """The first that found no room; nothing is kept after it."""
        self._dropped_count = 0

    def keep(self, frame: Frame, tally: PrintTally) -> None:
        """It printed something, which may be shown later if it has not been shown yet."""
        self._count += 1
        if self._count <= self._known(tally):
            self.forget()
            return
        size = FRAME_BYTES + size_bytes(frame.buffers)
        if self._dropped is None:
            if self._room.used_bytes + size <= limits.OUTPUT_BACKLOG_BYTES_MAX:
                self._room.used_bytes += size
                self.used_bytes += size
                self._frames.append(frame)
                return
            self._dropped = frame
        self._dropped_count += 1

    def take_new(self, tally: PrintTally) -> list[Frame]:
        """It has the lease now: what it printed and the client was not shown yet."""
        known = self._known(tally)
        tally.surplus = max(0, known - self._count)
        tally.shown = max(tally.shown, self._count)
        first = self._count - self._dropped_count - len(self._frames)
        new = self._frames[max(0, known - first) :]
        missing = min(self._dropped_count, self._count - known)
        if self._dropped is not None and missing > 0:
            texts = b"1 text was" if missing == 1 else b"%d texts were" % missing
            note = (
                b"... %b dropped: too much was printed before this run of the task counted" % texts
            )
            new.append(Frame(CONTROL_CHANNEL, self._dropped.message, [note]))
        self.forget()
        return new

    def forget(self) -> None:
        """Nobody will want what it printed so far."""
        self._room.used_bytes -= self.used_bytes
        self._frames, self.used_bytes = [], 0
        self._dropped, self._dropped_count = None, 0

    def _known(self, tally: PrintTally) -> int:
        """How many of its texts the client was shown."""
        return tally.shown if self._is_whole else 0


class Copying:
    """What is remembered of all copies."""

    __slots__ = ("count", "looked_at", "room", "workers")

    def __init__(self) -> None:
        self.count = 0
        """Since the start."""
        self.workers: dict[Worker, None] = {}
        """Those that were given copies, and are not free of them yet."""
        self.looked_at = 0.0
        """When somebody last looked for what should be copied."""
        self.room = PrintRoom()
