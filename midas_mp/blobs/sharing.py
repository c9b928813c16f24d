"""Shared memory between two processes of one node, kept going by the loop of either."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from midas_mp.blobs.peers import PeerBlobs
from midas_mp.errors import ConnectionLost, MidasError
from midas_mp.wire.framing import Buffer, PortOwner
from midas_mp.wire.local import BlobRef

RELEASE_INTERVAL_S: Final = 0.05
"""How often the other end hears what is not read any more, which it may be waiting to reuse."""


class Sharing:
    """A ``LinkedPort``: a ``PeerBlobs`` for as long as the connection lasts that it serves.

    Args:
        sock: to the other end.
        owner: is told when the other end breaks the rules.
        is_expected: as of ``PeerBlobs``.
        overtaxed: called when this process cannot take what it is shown, and loses the connection.
    """

    def __init__(
        self,
        sock: socket.socket,
        owner: PortOwner,
        *,
        is_expected: bool = True,
        overtaxed: Callable[[], None] = lambda: None,
    ) -> None:
        self._blobs = PeerBlobs(sock, self._watch, is_expected=is_expected)
        self._owner = owner
        self._overtaxed = overtaxed
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._blobs.fileno(), self._listen)
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False

    def greet(self) -> None:
        """Tells the other end that it is listened to."""
        self._blobs.greet()

    def refer(self, buffer: Buffer) -> BlobRef | None:
        return self._blobs.refer(buffer)

    def resolve(self, ref: BlobRef) -> Buffer:
        try:
            return self._blobs.resolve(ref)
        except ConnectionLost:
            self._overtaxed()
            raise

    def part(self) -> None:
        self._stop()
        self._blobs.part()

    def _watch(self) -> None:
        if self._timer is None and not self._is_over:
            self._timer = self._loop.call_later(RELEASE_INTERVAL_S, self._release)

    def _release(self) -> None:
        self._timer = None
        self._blobs.say_released()
        if self._blobs.is_reading:
            self._watch()

    def _listen(self) -> None:
        try:
            is_there = self._blobs.listen()
        except MidasError as error:
            self._stop()
            if isinstance(error, ConnectionLost):
                self._overtaxed()
            self._owner.port_failed(error)
            return
        if not is_there:
            self._stop()

    def _stop(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._loop.remove_reader(self._blobs.fileno())
            if self._timer is not None:
                self._timer.cancel()
