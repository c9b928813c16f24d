"""The host: carries what peers say into the scheduler, and its answers back.

The one impure loop around the mind: what arrives within one turn of the event loop is one batch,
so the scheduler is entered once and each peer gets one write.  It opens no payload and runs no
Lua.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple

from midas_mp import __version__, limits
from midas_mp.errors import MidasError
from midas_mp.host.output_valve import OutputValve
from midas_mp.host.shared_stream import SharedStream
from midas_mp.host.unread import UnreadWords
from midas_mp.scheduler.events import Event, PeerGreeted, PeerLost, Ready, Received
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation, refusal
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import Goodbye, Hello, Role

CLEAN_END: Final = "connection closed"

CLOSE_TIMEOUT_S: Final = 2.0
"""A peer that does not read its goodbye is not waited for."""


class _Connection(NamedTuple):
    link: Link
    valve: OutputValve
    stream: SharedStream
    words: UnreadWords


class Host:
    """The coordinator of one cluster; also the ``Receiver`` of every connection to it.

    Args:
        announce: is told what happens, a sentence at a time.
        patience_s: how long a job waits for its client to come back.
        sandbox_level_min: nodes whose workers are confined less are turned away.
    """

    def __init__(
        self,
        *,
        announce: Callable[[str], None],
        patience_s: float = limits.CLIENT_PATIENCE_S,
        sandbox_level_min: int = 0,
    ) -> None:
        self.scheduler = Scheduler(
            release=__version__, patience_s=patience_s, sandbox_level_min=sandbox_level_min
        )
        self._announce = announce
        self._loop = asyncio.get_running_loop()
        self._connections: dict[int, _Connection] = {}
        self._peers: dict[Link, int] = {}
        self._peer_last = 0
        self._inbox: list[Event] = []
        self._turn: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._is_closed = False

    @staticmethod
    def conversation() -> Conversation:
        """For a connection that the host accepts: the peer's first message tells its role."""
        return Conversation(Role.HOST, None)

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame.message, Hello):
                self._greet(link, frame.message)
            else:
                peer = self._peers.get(link)
                if peer is not None:
                    self._inbox.append(Received(peer, frame))
        self._wake()

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        peer = self._peers.pop(link, None)
        if peer is not None:
            self._connections.pop(peer).stream.close()
            self._inbox.append(PeerLost(peer, str(error) if error else CLEAN_END))
            self._wake()
        elif error is not None and not self._is_closed:
            self._announce(f"{link.peer}: {error}")

    def turned_away(self, text: str) -> None:
        """Somebody was not let in at all."""
        if not self._is_closed:
            self._announce(text)

    async def close(self, reason: str) -> None:
        """Says goodbye to everybody and waits until it is on its way; idempotent."""
        self._is_closed = True
        for handle in (self._turn, self._alarm):
            if handle is not None:
                handle.cancel()
        links = [connection.link for connection in self._connections.values()]
        for connection in self._connections.values():
            connection.stream.close()
        self._connections.clear()
        self._peers.clear()
        for link in links:
            _part(link, reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.gather(*(link.drained() for link in links))

    def _greet(self, link: Link, hello: Hello) -> None:
        refused = refusal(hello, link.conversation.proven_role)
        if refused is not None:
            self._announce(f"{link.peer} was refused: {refused.reason}")
            link.close(Frame(CONTROL_CHANNEL, refused))
            return
        self._peer_last += 1
        self._peers[link] = self._peer_last
        self._connections[self._peer_last] = _Connection(
            link, OutputValve(), SharedStream(link), UnreadWords(link)
        )
        token, may_manage = link.conversation.token, link.conversation.may_manage
        self._inbox.append(PeerGreeted(self._peer_last, hello, token, may_manage))

    def _wake(self) -> None:
        if self._turn is None and not self._is_closed:
            self._turn = self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._turn = None
        events, self._inbox = self._inbox, []
        ready = self.scheduler.step(events, self._loop.time())
        for peer, frames in ready.outbox:
            to = self._connections.get(peer)
            if to is not None:
                passed = to.valve.let_through(frames, to.link.unsent_bytes)
                if to.words.send(passed):
                    self._announce(f"{to.link.peer} is told more than it reads, and is cut off")
                    to.link.abort()
        self._stream(ready)
        for peer, reason in ready.drops:
            self._drop(peer, reason)
        for notice in ready.notices:
            self._announce(notice)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if ready.wake_at is not None:
            self._alarm = self._loop.call_at(ready.wake_at, self._wake)

    def _stream(self, ready: Ready) -> None:
        for job, round_ in ready.stops:
            for connection in self._connections.values():
                connection.stream.stop(job, round_)
        for transfer in ready.transfers:
            to = self._connections.get(transfer.peer)
            if to is not None:
                to.stream.begin(transfer)

    def _drop(self, peer: int, reason: str) -> None:
        gone = self._connections.pop(peer, None)
        if gone is not None:
            del self._peers[gone.link]
            gone.stream.close()
            _part(gone.link, reason)


def _part(link: Link, reason: str) -> None:
    """Says goodbye, unless the peer is still to be welcomed or has been told why already."""
    may_speak = link.conversation.may_speak
    link.close(Frame(CONTROL_CHANNEL, Goodbye(reason)) if may_speak else None)
