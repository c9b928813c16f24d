"""Keeps printed text from piling up in the host for a client that reads too slowly.

Results are bounded by the client's credit; what tasks print is not.  Above a backlog it is
dropped, and the client is told how much where the rest would have stood.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp import limits
from midas_mp.wire.framing import Frame, size_bytes
from midas_mp.wire.messages import TaskPrinted, TaskProgress, TaskRunning


class OutputValve:
    """For one connection."""

    def __init__(self) -> None:
        self._dropped_bytes = 0

    def let_through(self, frames: Sequence[Frame], unsent_bytes: int) -> Sequence[Frame]:
        """The frames that are to be sent, given what still waits to be sent."""
        if unsent_bytes <= limits.OUTPUT_BACKLOG_BYTES_MAX and not self._dropped_bytes:
            return frames
        passed: list[Frame] = []
        for frame in frames:
            message = frame.message
            if not isinstance(message, TaskPrinted | TaskProgress | TaskRunning):
                passed.append(frame)
            elif unsent_bytes > limits.OUTPUT_BACKLOG_BYTES_MAX:
                self._dropped_bytes += size_bytes(frame.buffers)
            else:
                if self._dropped_bytes and isinstance(message, TaskPrinted):
                    passed.append(Frame(frame.channel, message, [self._take_note()]))
                passed.append(frame)
        return passed

    def _take_note(self) -> bytes:
        size, self._dropped_bytes = self._dropped_bytes, 0
        return b"... %d bytes of output were dropped: the client reads too slowly" % size
