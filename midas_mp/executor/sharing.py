"""Shared memory between a program and its host process, in the loop of either."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from midas_mp.blobs.peers import PeerBlobs

RELEASE_INTERVAL_S: Final = 0.05
"""How often the other end hears what is not read any more, which it may be waiting to reuse."""


class Sharing:
    """Keeps a ``PeerBlobs`` going, until it is closed or the other end has gone.

    Args:
        sock: to the other end.

    Attributes:
        blobs: for the link between the two.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.blobs = PeerBlobs(sock, self._watch)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.blobs.fileno(), self._listen)
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def close(self) -> None:
        """The other end reads nothing any more; idempotent."""
        self._stop()
        self.blobs.close()

    def _watch(self) -> None:
        if self._timer is None and not self._is_over:
            self._timer = self._loop.call_later(RELEASE_INTERVAL_S, self._release)

    def _release(self) -> None:
        self._timer = None
        self.blobs.say_released()
        if self.blobs.is_reading:
            self._watch()

    def _listen(self) -> None:
        if not self.blobs.listen():
            self._stop()

    def _stop(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._loop.remove_reader(self.blobs.fileno())
            if self._timer is not None:
                self._timer.cancel()
