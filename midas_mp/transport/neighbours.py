"""How the two ends of a link find out that they are on one node, and share memory from then on.

    host ── Invite(where, ticket) ──▶ peer      once it is welcome, if its address is of this node
         ◀──── ticket, over there ───
         ◀════ BlobRefs ════════════▶           either side, once the other is known to listen

What is there, and who may come, is not the link's affair: whoever makes it brings ``Neighbours``.
Where nobody comes, nothing is shared, and nobody need know why.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Final, Protocol

from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, LinkedPort, PortOwner
from midas_mp.wire.messages import Heartbeat, Invite, Role

_LINK_WORDS: Final = frozenset({Heartbeat, Invite})

_INVITED: Final = frozenset({Role.LAUNCHER, Role.CLIENT})


class Neighbours(Protocol):
    """What brings the ends together.  Each of these calls ``owner.share``, now, later or never."""

    def invite(self, owner: PortOwner, /) -> Invite | None:
        """At a host: what to say to a peer of this node; None where nothing can be shared."""

    def visit(self, invite: Invite, owner: PortOwner, /) -> None:
        """At its peer: goes there."""


class NeighbourlyLink(PortOwner, Protocol):
    """What a neighbourhood asks of its link."""

    conversation: Conversation

    @property
    def is_closed(self) -> bool: ...

    def send(self, frames: list[Frame], /) -> None: ...


class Neighbourhood:
    """Of one link, from its beginning to its end.

    Attributes:
        is_inviting: the peer may still be invited.
    """

    def __init__(self, link: NeighbourlyLink, neighbours: Neighbours | None) -> None:
        self._link = link
        self._neighbours = neighbours
        self._port: LinkedPort | None = None
        self.is_inviting = neighbours is not None and link.conversation.local is Role.HOST

    def invite(self, transport: asyncio.BaseTransport | None) -> None:
        """Something was said to the peer: if that was its welcome, invites it."""
        conversation = self._link.conversation
        if not conversation.is_open:
            return
        self.is_inviting = False
        if self._neighbours is None or conversation.remote not in _INVITED:
            return
        if transport is not None and _is_of_this_node(transport):
            invite = self._neighbours.invite(self._link)
            if invite is not None and conversation.may_speak:
                self._link.send([Frame(CONTROL_CHANNEL, invite)])

    def take(self, frames: list[Frame]) -> None:
        """Follows an invitation, if there is one among these."""
        for frame in frames:
            if isinstance(frame.message, Invite) and self._neighbours is not None:
                neighbours, self._neighbours = self._neighbours, None
                neighbours.visit(frame.message, self._link)

    def share(self, port: LinkedPort) -> None:
        """There is such a port now, for as long as the link lasts."""
        if self._link.is_closed:
            port.part()
        else:
            self._port = port

    def part(self) -> None:
        """The link has ended; idempotent."""
        port, self._port = self._port, None
        if port is not None:
            port.part()


def without_link_words(frames: list[Frame]) -> list[Frame]:
    """What is of interest to the owner of a link."""
    return [frame for frame in frames if type(frame.message) not in _LINK_WORDS]


def _is_of_this_node(transport: asyncio.BaseTransport) -> bool:
    """By the addresses of its two ends; in the end it is who comes that counts."""
    here, there = (transport.get_extra_info(name) for name in ("sockname", "peername"))
    if not (isinstance(here, tuple) and isinstance(there, tuple)):
        return False
    if there[0] == here[0]:
        return True
    address, _, _zone = there[0].removeprefix("::ffff:").partition("%")
    return ipaddress.ip_address(address).is_loopback
