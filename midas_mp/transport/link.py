"""What a connection is to the rest of Midas: frames go in, frames come out, one end.

Whoever owns a link implements ``Receiver``.  The contract, kept by every transport:

- frames arrive complete, in order, judged by the link's ``Conversation``, many at a time;
- ``link_lost`` is called exactly once, whoever ended the link, and nothing arrives after it, nor
  after ``close`` or ``abort`` was called;
- a receiver that raises is a bug of ours: the loop's exception handler hears of it, and the link
  is aborted.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from typing import Protocol

from midas_mp.errors import InternalError, MidasError
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame


class Receiver(Protocol):
    """Whoever owns a link."""

    def frames_received(self, link: Link, frames: list[Frame], /) -> None:
        """These arrived, in order; never empty."""

    def link_lost(self, link: Link, error: MidasError | None, /) -> None:
        """It is over.

        ``error`` is None after an orderly end, the peer's or our own; a ProtocolError where the
        peer broke the rules, a WorldError where the connection broke.
        """


class Dial(Protocol):
    """How to reach one particular peer: what ``tcp.connect`` is once the address is known."""

    async def __call__(self, receiver: Receiver, conversation: Conversation, /) -> Link:
        """A fresh connection.

        Raises:
            WorldError: nobody answers there now; later somebody may.
        """


class Link(abc.ABC):
    """One end of a connection that carries frames."""

    def __init__(self, receiver: Receiver, conversation: Conversation) -> None:
        self.receiver = receiver
        self.conversation = conversation
        self._loop = asyncio.get_running_loop()
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._is_lost = False

    @property
    def peer(self) -> str:
        """The other end, for people: its name, once it greeted, and where it is."""
        name = self.conversation.remote_name
        return f"{name} ({self._where})" if name else self._where

    @property
    @abc.abstractmethod
    def _where(self) -> str: ...

    @property
    @abc.abstractmethod
    def is_closed(self) -> bool:
        """Whether ``send`` ignores what it gets: closing has begun, or the end has come."""

    @property
    @abc.abstractmethod
    def unsent_bytes(self) -> int:
        """What was sent and is still in this process."""

    @abc.abstractmethod
    def send(self, frames: Sequence[Frame]) -> None:
        """Send these, in order, with one write.  Never blocks; does nothing once closed.

        Raises:
            IllegalTransition: a frame does not belong into this conversation (our bug).
            ProtocolError: a frame is over the limits of the wire; nothing was sent.
        """

    @abc.abstractmethod
    def close(self, last: Frame | None = None) -> None:
        """Send ``last``, let all that was sent reach the peer, then end the link."""

    @abc.abstractmethod
    def abort(self) -> None:
        """End the link at once; what is unsent is lost."""

    @property
    @abc.abstractmethod
    def _is_clogged(self) -> bool: ...

    async def drained(self) -> None:
        """Wait until little is unsent; on a link that was closed, until it has ended."""
        while (self._is_clogged or self.is_closed) and not self._is_lost:
            waiter = self._loop.create_future()
            self._drain_waiters.append(waiter)
            await waiter

    def _wake_drained(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _hand_over(self, frames: list[Frame]) -> InternalError | None:
        """Give frames to the receiver; returns what to say when it raised."""
        try:
            self.receiver.frames_received(self, frames)
        except Exception as error:  # noqa: BLE001 - whatever a receiver raises must be heard of
            self._report("frames_received", error)
            return InternalError(f"receiver of {self.peer} failed: {error!r}")
        return None

    def _lose(self, error: MidasError | None) -> None:
        """Tell the receiver, once."""
        if self._is_lost:
            return
        self._is_lost = True
        self._wake_drained()
        try:
            self.receiver.link_lost(self, error)
        except Exception as failure:  # noqa: BLE001 - as above
            self._report("link_lost", failure)

    def _report(self, method: str, error: Exception) -> None:
        self._loop.call_exception_handler(
            {
                "message": f"{method} of {type(self.receiver).__name__} failed ({self.peer})",
                "exception": error,
                "link": self,
            }
        )
