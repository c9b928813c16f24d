"""A simulated connection: two links, joined by two lanes on which everything takes its time.

Each frame is encoded as it would be for a socket, and decoded at the other end behind a real
``Conversation``: what arrives is never the object that was sent.  Both ends behave as
``transport.stream`` does: closing lets everything through and lingers, aborting resets, and a
connection that broke is noticed by each side at its own time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from midas_mp import limits
from midas_mp.errors import ConnectionLost, MidasError, ProtocolError
from midas_mp.testing.trace import Trace, outline
from midas_mp.transport.link import Link, Receiver
from midas_mp.transport.neighbours import without_link_words
from midas_mp.transport.pulse import HEARTBEAT, Pulse
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame, FrameDecoder, encode

LOOK_S: Final = 1.0
"""What waits for somebody to thaw or to be reachable looks so often: it may
be earlier than it seemed."""

_INSTANT_S: Final = 1e-9
"""What falls due within so long is due now: a clock's resolution."""


class Site:
    """One machine, or one process of it, from its start to its end.

    Attributes:
        frozen_until: before that time nothing happens there.
        is_dead: nothing ever happens there again.
        links: its ends of connections, until they are lost.
        is_glitched: a connection of it lost, repeated or mixed up frames.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen_until = 0.0
        self.is_dead = False
        self.is_glitched = False
        self.links: dict[SimulatedLink, None] = {}
        self._loop = asyncio.get_running_loop()

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Do it then, or as soon as the site thaws; never when it died before."""
        self._loop.call_at(when, self._act, act)

    def soon(self, delay_s: float, act: Callable[[], None]) -> None:
        self._loop.call_at(self._loop.time() + delay_s, self._act, act)

    def _act(self, act: Callable[[], None]) -> None:
        if self.is_dead:
            return
        wait_s = self.frozen_until - self._loop.time()
        if wait_s > 0:
            self._loop.call_later(min(wait_s, LOOK_S), self._act, act)
        else:
            act()


class Medium(Protocol):
    """What lies between two sites."""

    trace: Trace

    def latency_s(self) -> float:
        """How long what is sent now is under way."""

    def writing_s(self, size_bytes: int) -> float:
        """How long so much keeps a lane busy."""

    def witness(self, link: SimulatedLink, frames: list[Frame]) -> None:
        """Looks at what has arrived."""

    def held_until(self, source: Site, target: Site) -> float:
        """Before that time nothing gets through."""

    def splits(self) -> bool:
        """Whether one write arrives as two."""

    def mangle(self, lane: Lane, packets: list[bytes]) -> list[bytes]:
        """The frames as they travel on."""

    def unsent_bytes(self, under_way_bytes: int) -> int:
        """What of it is still in the sender's process."""


class _Parcel(NamedTuple):
    arrives_at: float
    packets: list[bytes]
    is_end: bool = False
    """The sender closed (after everything before this)."""
    is_reset: bool = False


class Lane:
    """One direction of a connection."""

    def __init__(self, medium: Medium, source: SimulatedLink, target: SimulatedLink) -> None:
        self.source = source
        self.target = target
        self.frame_count = 0
        self.under_way_bytes = 0
        self._medium = medium
        self._parcels: deque[_Parcel] = deque()
        self._is_severed = False
        self._free_at = 0.0
        self._last_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def put(self, packets: list[bytes]) -> None:
        self.under_way_bytes += sum(map(len, packets))
        self.frame_count += len(packets)
        packets = self._medium.mangle(self, packets)
        if len(packets) > 1 and self._medium.splits():
            half = len(packets) // 2
            self._append(packets[:half])
            packets = packets[half:]
        self._append(packets)

    def end(self) -> None:
        self._append([], is_end=True)

    def reset(self) -> None:
        """The sender broke off: what is under way is lost."""
        self._parcels.clear()
        self._append([], is_reset=True)

    def sever(self) -> None:
        """Nothing gets through any more, and nobody is told."""
        self._is_severed = True
        self._parcels.clear()

    def _append(
        self, packets: list[bytes], *, is_end: bool = False, is_reset: bool = False
    ) -> None:
        if self._is_severed:
            return
        begun_at = max(self._loop.time(), self.source.site.frozen_until, self._free_at)
        self._free_at = begun_at + self._medium.writing_s(sum(map(len, packets)))
        self._last_at = max(self._last_at, self._free_at + self._medium.latency_s())
        self._parcels.append(_Parcel(self._last_at, packets, is_end, is_reset))
        self.wake()

    def wake(self) -> None:
        """Look after what has arrived."""
        if self._timer is None and self._parcels:
            self._timer = self._loop.call_at(self._parcels[0].arrives_at, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._loop.time()
        target = self.target
        until = max(
            target.site.frozen_until, self._medium.held_until(self.source.site, target.site)
        )
        if until > now:
            self._timer = self._loop.call_at(min(until, now + LOOK_S), self._arrive)
            return
        packets: list[bytes] = []
        last: _Parcel | None = None
        while self._parcels and self._parcels[0].arrives_at <= now + _INSTANT_S:
            if target.is_reading_paused and not self._parcels[0].is_reset:
                break
            last = self._parcels.popleft()
            packets += last.packets
        if packets:
            self.under_way_bytes -= sum(map(len, packets))
            target.packets_arrived(packets)
            self.source.sent_has_arrived()
        if last is not None and last.is_end:
            target.end_arrived()
        elif last is not None and last.is_reset:
            target.breaks("reset by peer")
        elif not target.is_reading_paused:
            self.wake()


class SimulatedLink(Link):
    """One end of a simulated connection; made by ``join``."""

    out: Lane
    into: Lane

    def __init__(
        self, medium: Medium, site: Site, where: str, receiver: Receiver, conversation: Conversation
    ) -> None:
        super().__init__(receiver, conversation)
        self.site = site
        self.is_reading_paused = False
        self._medium = medium
        self._where_to = where
        self._decoder = FrameDecoder(conversation)
        self._is_closing = False
        self._error: MidasError | None = None
        self.received_count = 0
        self.sent_count = 0
        Pulse(self, site.soon)
        site.links[self] = None
        site.soon(limits.GREETING_TIMEOUT_S, self._greeting_missed)

    # -- the owner's side ----------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return self._where_to

    @property
    def is_closed(self) -> bool:
        return self._is_closing

    @property
    def unsent_bytes(self) -> int:
        return self._medium.unsent_bytes(self.out.under_way_bytes)

    @property
    def _is_clogged(self) -> bool:
        return self.unsent_bytes > limits.SEND_BUFFER_BYTES_HIGH

    def send(self, frames: Sequence[Frame]) -> None:
        if self._is_closing or not frames:
            return
        packets = [b"".join(encode(frame)) for frame in frames]
        for frame in frames:
            self.conversation.sending(frame)
        self._medium.trace.count("frames", len(packets))
        self.sent_count += 1
        self.out.put(packets)

    def close(self, last: Frame | None = None) -> None:
        if self._is_closing:
            return
        if last is not None:
            self.send([last])
        self._is_closing = True
        self.is_reading_paused = False
        self.into.wake()
        self.out.end()
        self._linger()

    def abort(self) -> None:
        if self._is_lost:
            return
        self._is_closing = True
        self.out.reset()
        self.site.soon(0, self._lose_own)

    def pause_reading(self) -> None:
        """Takes nothing more, as a process that is stopped."""
        if not self._is_closing:
            self.is_reading_paused = True

    def resume_reading(self) -> None:
        """Undoes ``pause_reading``."""
        self.is_reading_paused = False
        self.into.wake()

    # -- the pulse' side -----------------------------------------------------------------------

    def beat(self) -> None:
        self.send([HEARTBEAT])

    def fall_silent(self, seconds: float) -> None:
        self._medium.trace.count("silences")
        self._fail(ConnectionLost(f"{self.peer}: nothing was heard for {seconds:g} s"))

    # -- the network's side --------------------------------------------------------------------

    def packets_arrived(self, packets: list[bytes]) -> None:
        if self._is_closing:
            return
        self.received_count += 1
        try:
            frames = without_link_words(self._decoder.feed(b"".join(packets)))
        except ProtocolError as error:
            self._fail(error)
            return
        if not frames:
            return
        if self._medium.trace.is_read:
            self._medium.trace.note(self.site.name, "◀", self._where_to, outline(frames))
        self._medium.witness(self, frames)
        failure = self._hand_over(frames)
        if failure is not None:
            self._fail(failure)

    def sent_has_arrived(self) -> None:
        if not self._is_clogged:
            self._wake_drained()

    def end_arrived(self) -> None:
        """The other side has closed; it hears what is unsent, and then our end."""
        if not self._is_closing:
            self._is_closing = True
            self.out.end()
        self.site.soon(0, self._lose_own)

    def breaks(self, how: str) -> None:
        """The connection is broken, and this side notices it now."""
        if self._is_lost:
            return
        if not self._is_closing:
            self._error = ConnectionLost(f"{self.peer}: the connection broke: {how}")
        self._is_closing = True
        self.out.sever()
        self._lose_own()

    def vanish(self) -> None:
        """The process behind it is no more: nobody is told anything here."""
        self._is_closing = True
        self._is_lost = True
        self.site.links.pop(self, None)
        self._wake_drained()

    # -- within --------------------------------------------------------------------------------

    def _lose_own(self) -> None:
        self.site.links.pop(self, None)
        if not self._is_lost:
            self._medium.trace.note(self.site.name, "✂", self._where_to, self._error or "")
        self._lose(self._error)

    def _fail(self, error: MidasError) -> None:
        self._error = error
        self.abort()

    def _greeting_missed(self) -> None:
        if not self._is_closing and self.conversation.is_greeting_due:
            self._fail(ConnectionLost(f"{self.peer} did not greet in time"))

    def _linger(self) -> None:
        before = self.out.under_way_bytes
        self.site.soon(limits.LINGER_S, lambda: self._check_progress(before))

    def _check_progress(self, before: int) -> None:
        if self._is_lost:
            return
        if 0 < self.out.under_way_bytes < before:
            self._linger()
        else:
            self.abort()


def join(medium: Medium, a: SimulatedLink, b: SimulatedLink) -> None:
    """Makes two links the ends of one connection."""
    a.out = b.into = Lane(medium, a, b)
    b.out = a.into = Lane(medium, b, a)
