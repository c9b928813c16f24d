"""One connection to a host, from the dialling to its end: the ``Receiver`` of one link.

A client has one for control, and a second one for what is large.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from midas_mp.errors import ClusterLost, MidasError, PeerRefused, ProtocolError
from midas_mp.transport.link import Dial, Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.messages import Goodbye, Hello, Refused, Role, Welcome
from midas_mp.wire.vocabulary import AnyMessage

LEAVING: Final = "leaving"
FAULT: Final = "fault"


class LineOwner(Protocol):
    """Who is told what becomes of a line that was welcomed."""

    def line_welcomed(self, line: Line) -> None:
        """The host listens from now on."""

    def frame_received(self, frame: Frame) -> None: ...

    def line_lost(self, line: Line, error: MidasError) -> None:
        """It is over, and why; ``line.is_final`` where it is no use to come back."""


class Line:
    """One connection.

    Attributes:
        is_final: the host said not to come back.
    """

    def __init__(self, owner: LineOwner) -> None:
        self.is_final = False
        self._owner = owner
        self._link: Link | None = None
        self._parting: MidasError | None = None
        """Why the host ended the connection, if it said so."""
        self._is_left = False
        """We ended it: nobody wants to hear of it."""
        self._is_welcomed = False
        self._welcomed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self, dial: Dial, hello: Hello) -> str:
        """Dials and greets; our name at the host.

        Raises:
            WorldError: nobody answers, or the connection ended before an answer came.
            PeerRefused: the host does not want us, or is of another version.
            ProtocolError: what answers there is no host.
        """
        try:
            link = await dial(self, Conversation(hello.role, Role.HOST))
            if not self._welcomed.done():  # else it is lost again already
                self._link = link
                link.send([Frame(CONTROL_CHANNEL, hello)])
            return await self._welcomed
        finally:
            if not self._is_welcomed:
                self.leave("gave up")

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        if self._link is not None:
            self._link.send([Frame(CONTROL_CHANNEL, message, buffers)])

    async def drained(self) -> None:
        """Waits until little of what was said is unsent, or the line is lost."""
        if self._link is not None:
            await self._link.drained()

    def leave(self, reason: str) -> None:
        """Says goodbye and hangs up; the owner hears nothing more.  Idempotent."""
        self._is_left = True
        if not self._welcomed.cancel() and not self._welcomed.cancelled():
            self._welcomed.exception()  # the dialling failed first: nobody need see it
        link, self._link = self._link, None
        if link is not None:
            may_speak = link.conversation.may_speak
            link.close(Frame(CONTROL_CHANNEL, Goodbye(reason)) if may_speak else None)

    @property
    def _is_unwanted(self) -> bool:
        """We left, or are about to: who waited for the welcome was cancelled."""
        return self._is_left or self._welcomed.cancelled()

    # -- from the link -----------------------------------------------------------------------------

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            if self._is_unwanted:
                return
            match frame.message:
                case Welcome(name=name):
                    self._is_welcomed = True
                    self._welcomed.set_result(name)
                    self._owner.line_welcomed(self)
                case Refused(code=code, reason=reason):
                    self._parting = PeerRefused(reason, refusal=code)
                case Goodbye(reason=reason, code=code):
                    self._parting = _parting(reason, code)
                    self.is_final = code != LEAVING
                    link.close()
                    return
                case _:
                    self._owner.frame_received(frame)

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        self._link = None
        if self._is_unwanted:
            return
        if self._is_welcomed:
            self._owner.line_lost(self, self._parting or _lost(error))
        elif self._parting is None and isinstance(error, ProtocolError):
            text = f"{link.peer} does not answer like a Midas host: {error}"
            self._welcomed.set_exception(ProtocolError(text))
        else:
            self._welcomed.set_exception(self._parting or _lost(error))


def _lost(error: MidasError | None) -> ClusterLost:
    cause = f" ({error})" if error is not None else ""
    return ClusterLost(f"the connection to the host was lost{cause}")


def _parting(reason: str, code: str) -> MidasError:
    if code == FAULT:
        return ProtocolError(f"the host found fault with what this side said: {reason}")
    return ClusterLost(f"the connection to the host was lost ({reason})")
