"""What the tasks of one job print while its client is away.

Results wait in the tasks themselves.  Text is worth less: it is kept up to a limit, and what is
dropped beyond that is counted and said.
"""

from __future__ import annotations

from typing import Final

from midas_mp import limits
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, size_bytes

FRAME_BYTES: Final = 256
"""What a frame weighs beside its text, so that empty lines count too."""


class PrintBacklog:
    """Frames in the order in which they came."""

    __slots__ = ("_dropped", "_dropped_bytes", "_frames", "_size_bytes")

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._size_bytes = 0
        self._dropped: Frame | None = None
        """The first that found no room; nothing is kept after it."""
        self._dropped_bytes = 0

    def keep(self, frame: Frame) -> None:
        """Add a printed text, or count it as dropped."""
        size = size_bytes(frame.buffers)
        if self._dropped is None:
            self._size_bytes += size + FRAME_BYTES
            if self._size_bytes <= limits.OUTPUT_BACKLOG_BYTES_MAX:
                self._frames.append(frame)
                return
            self._dropped = frame
        self._dropped_bytes += size

    def take(self) -> list[Frame]:
        """All that was kept, and a note on what was not; the backlog is empty then."""
        frames = self._frames
        if self._dropped is not None:
            note = b"... %d bytes of output were dropped: the client was away" % self._dropped_bytes
            frames.append(Frame(CONTROL_CHANNEL, self._dropped.message, [note]))
        self._frames, self._size_bytes = [], 0
        self._dropped, self._dropped_bytes = None, 0
        return frames
