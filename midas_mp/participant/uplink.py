"""A launcher's connection to its host: what may be said on it, and when it is too much.

A launcher has one for each host that it serves, one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from midas_mp import limits
from midas_mp.errors import MidasError
from midas_mp.participant.process import LuaProcess
from midas_mp.transport.link import Link
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import Goodbye
from midas_mp.wire.vocabulary import AnyMessage


class Uplink:
    """One connection.

    Attributes:
        parting: what the host said before it hung up, or what it did wrong; None so far.
        lost: done when the connection ended; holds the reason, None for a clean end.
    """

    def __init__(self, link: Link, processes: Callable[[], Sequence[LuaProcess]]) -> None:
        self.link = link
        self.parting: MidasError | None = None
        self.lost: asyncio.Future[MidasError | None] = asyncio.get_running_loop().create_future()
        self._processes = processes
        self._holding: asyncio.Future[None] | None = None
        """While the output of the workers is not read."""

    @property
    def is_holding(self) -> bool:
        """Whether the output of the workers is to stay in their pipes for now."""
        return self._holding is not None

    @property
    def is_heard(self) -> bool:
        """Whether what is said now has a chance: the host has welcomed us, and none has hung up."""
        return self.link.conversation.may_speak and not self.link.is_closed

    def tell(self, frames: Sequence[Frame]) -> None:
        """Says it if the host listens: before its welcome it does not."""
        if frames and self.is_heard:
            self.link.send(frames)
            if self.link.unsent_bytes > limits.SEND_BUFFER_BYTES_HIGH and self._holding is None:
                self._holding = asyncio.ensure_future(self._hold_output())

    def say(self, channel: int, message: AnyMessage, *buffers: bytes) -> None:
        self.tell([Frame(channel, message, buffers)])

    def leave(self, reason: str) -> None:
        """Says goodbye and hangs up."""
        may_speak = self.link.conversation.may_speak
        self.link.close(Frame(CONTROL_CHANNEL, Goodbye(reason)) if may_speak else None)

    def end(self, error: MidasError | None) -> None:
        """The connection has ended."""
        if not self.lost.done():
            self.lost.set_result(self.parting or error)

    async def _hold_output(self) -> None:
        """A host that reads slowly makes scripts that print wait, not this process grow."""
        for process in self._processes():
            process.pause_output()
        await self.link.drained()
        self._holding = None
        for process in self._processes():
            process.resume_output()
