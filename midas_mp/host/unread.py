"""Notices a peer that is told much and reads nothing: who asks without end fills no host.

Payloads are bounded by the credit of clients and the leases of workers, what tasks print by the
``OutputValve``.  The words around them, and answers to questions, are bounded here.
"""

from __future__ import annotations

from collections.abc import Sequence

from midas_mp import limits
from midas_mp.transport.link import Link
from midas_mp.wire.framing import Frame, size_bytes


class UnreadWords:
    """Of one connection.

    Args:
        link: the connection.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._size_bytes = 0
        """Without payloads, since more was unsent than a link may have."""

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send these; whether so much is unread by now that the peer is of no use."""
        unsent_before = self._link.unsent_bytes
        self._link.send(frames)
        if unsent_before <= limits.SEND_BUFFER_BYTES_HIGH:
            self._size_bytes = 0
            return False
        payload_bytes = sum(size_bytes(frame.buffers) for frame in frames)
        grown = self._link.unsent_bytes - unsent_before - payload_bytes
        self._size_bytes += max(0, grown)
        return self._size_bytes > limits.UNREAD_WORDS_BYTES_MAX
