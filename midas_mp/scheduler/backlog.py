"""What the tasks of jobs print while their clients are away.

Results wait in the tasks themselves.  Text is worth less: each job's is kept up to a limit, and so
is that of all jobs together, where the backlog that was begun first makes room for the others.
What is dropped is counted and said.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, size_bytes
from midas_mp.wire.messages import TaskPrinted

FRAME_BYTES: Final = 256
"""What a frame weighs beside its text, so that empty lines count too."""


class BacklogRoom:
    """What all backlogs together may keep."""

    __slots__ = ("_backlogs", "used_bytes")

    def __init__(self) -> None:
        self.used_bytes = 0
        self._backlogs: dict[PrintBacklog, None] = {}
        """Those that keep something, the one begun first first."""

    def take_up(self, backlog: PrintBacklog, size_bytes: int) -> None:
        """So much more is kept there; who began earlier gives up what it has if need be."""
        self.used_bytes += size_bytes
        self._backlogs.setdefault(backlog)
        while self.used_bytes > limits.BACKLOGS_BYTES_MAX:
            next(iter(self._backlogs)).give_up()

    def give_back(self, backlog: PrintBacklog, size_bytes: int) -> None:
        """Nothing is kept there any more."""
        self.used_bytes -= size_bytes
        self._backlogs.pop(backlog, None)


class PrintBacklog:
    """Of one job: frames in the order in which they came."""

    __slots__ = ("_dropped", "_dropped_bytes", "_frames", "_room", "used_bytes")

    def __init__(self, room: BacklogRoom) -> None:
        self._room = room
        self._frames: list[Frame] = []
        self.used_bytes = 0
        """Of the room."""
        self._dropped: TaskPrinted | None = None
        """Where the first stood that found no room; nothing is kept after it."""
        self._dropped_bytes = 0

    def keep(self, frame: Frame) -> None:
        """Add a printed text, or count it as dropped."""
        size = size_bytes(frame.buffers)
        if self._dropped is None:
            weight = size + FRAME_BYTES
            if self.used_bytes + weight <= limits.OUTPUT_BACKLOG_BYTES_MAX:
                self.used_bytes += weight
                self._frames.append(frame)
                self._room.take_up(self, weight)
                return
            assert isinstance(frame.message, TaskPrinted)
            self._dropped = frame.message
        self._dropped_bytes += size

    def take(self) -> list[Frame]:
        """All that was kept, and a note on what was not; the backlog is empty then."""
        frames = self._frames
        if self._dropped is not None:
            note = b"... %d bytes of output were dropped: the client was away" % self._dropped_bytes
            frames.append(Frame(CONTROL_CHANNEL, self._dropped, [note]))
        self.forget()
        return frames

    def give_up(self) -> None:
        """Drop all that is kept, and whatever comes."""
        first = self._frames[0].message
        assert isinstance(first, TaskPrinted)
        dropped_bytes = self._dropped_bytes + sum(size_bytes(each.buffers) for each in self._frames)
        self.forget()
        self._dropped, self._dropped_bytes = first, dropped_bytes

    def forget(self) -> None:
        """Nobody will come for any of it."""
        self._room.give_back(self, self.used_bytes)
        self._frames, self.used_bytes = [], 0
        self._dropped, self._dropped_bytes = None, 0
