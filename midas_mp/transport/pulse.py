"""Heartbeats of a link, and the ear for those of its other end.

TCP alone tells that a machine is gone, late, and never that a process stands still.  So whoever has
said nothing for a while says ``Heartbeat``, and an end that hears nothing at all, for longer than
an honest peer is ever silent, is lost.

Whatever arrives is a sign of life, be it a part of a frame that takes hours: no heartbeat is ever
waited for behind it.  And silence is counted in beats of one's own, between which the loop has read
what was there.  So who stood still, was suspended or had too much to do finds nobody at fault but
himself when he goes on: the first beat after a gap counts for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from midas_mp import limits
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import Heartbeat, Role

HEARTBEAT: Final = Frame(CONTROL_CHANNEL, Heartbeat())

_BEATING: Final = frozenset({Role.LAUNCHER, Role.CLIENT})
"""Who and the host beat for each other.  A second connection, for what is large, does not: where
that falls silent, the first one tells."""

_JUDGED: Final = frozenset({Role.LAUNCHER, Role.HOST})
"""Whose silence is the end.  That of a client does no harm, and it may be stopped for a while with
Ctrl-Z; a machine that is gone TCP notices."""


class PulsedLink(Protocol):
    """What a pulse asks of its link."""

    conversation: Conversation
    received_count: int
    """Grows with everything that arrives."""
    sent_count: int
    """Grows with everything that is sent."""

    @property
    def is_closed(self) -> bool: ...

    def beat(self) -> None:
        """Say ``HEARTBEAT``."""

    def fall_silent(self, seconds: float) -> None:
        """Nothing came for so long: it is over."""


class Pulse:
    """Of one link, from its beginning to its end.

    Args:
        link: the link.
        call_later: how to be woken.
    """

    def __init__(
        self, link: PulsedLink, call_later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        self._link: PulsedLink | None = link
        self._call_later = call_later
        self._loop = asyncio.get_running_loop()
        self._received_count = 0
        self._sent_count = 0
        self._silent_beats = 0
        self._wait()

    def close(self) -> None:
        """Holds the link no longer, nor all that the link holds; idempotent."""
        self._link = None

    def _wait(self) -> None:
        self._due_s = self._loop.time() + limits.HEARTBEAT_INTERVAL_S
        self._call_later(limits.HEARTBEAT_INTERVAL_S, self._tick)

    def _tick(self) -> None:
        link = self._link
        if link is None or link.is_closed:
            return
        conversation = link.conversation
        if conversation.is_open:
            roles = {conversation.local, conversation.remote}
            if Role.HOST not in roles or not roles & _BEATING:
                return
            self._listen(link)
            if self._silent_beats >= limits.SILENT_BEATS_MAX and conversation.remote in _JUDGED:
                link.fall_silent(limits.SILENT_BEATS_MAX * limits.HEARTBEAT_INTERVAL_S)
                return
            if link.sent_count == self._sent_count and conversation.may_speak:
                link.beat()
            self._sent_count = link.sent_count
        self._wait()

    def _listen(self, link: PulsedLink) -> None:
        was_absent = self._loop.time() - self._due_s > limits.HEARTBEAT_INTERVAL_S
        has_heard = link.received_count != self._received_count
        self._received_count = link.received_count
        if has_heard or was_absent:
            self._silent_beats = 0
        else:
            self._silent_beats += 1
