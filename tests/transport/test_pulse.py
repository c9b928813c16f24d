"""Who beats when, whose silence is the end, and whose own fault a gap is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.transport.pulse import HEARTBEAT, Pulse
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import PROTOCOL_VERSION, Goodbye, Hello, Role, Welcome

INTERVAL_S = limits.HEARTBEAT_INTERVAL_S
LIMIT_S = INTERVAL_S * limits.SILENT_BEATS_MAX
HOST, LAUNCHER, CLIENT, BULK = Role.HOST, Role.LAUNCHER, Role.CLIENT, Role.BULK


class Link:
    """One end, that counts and remembers."""

    def __init__(self, local: Role, remote: Role, *, is_greeted: bool = True) -> None:
        self.conversation = Conversation(local, None if local is HOST else remote)
        self.received_count = self.sent_count = 0
        self.is_closed = False
        self.beats: list[float] = []
        self.silences: list[float] = []
        self.late_s = 0.0
        self._loop = asyncio.get_running_loop()
        if is_greeted:
            self.greet(remote if local is HOST else local)
        self.pulse = Pulse(self, self._call_later)

    def greet(self, role: Role) -> None:
        hello = Frame(0, Hello(PROTOCOL_VERSION, role, "0", "ab", "peer"))
        welcome = Frame(0, Welcome(PROTOCOL_VERSION, "0", "peer", 0))
        host = self.conversation.local is HOST
        (self.conversation.receive if host else self.conversation.sending)(hello)
        (self.conversation.sending if host else self.conversation.receive)(welcome)

    def _call_later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._loop.call_later(delay_s + self.late_s, act)

    def beat(self) -> None:
        self.conversation.sending(HEARTBEAT)
        self.sent_count += 1
        self.beats.append(self._loop.time())

    def fall_silent(self, seconds: float) -> None:
        self.is_closed = True
        self.silences.append(seconds)

    async def hear_for(self, seconds: float) -> None:
        """The peer is there."""
        for _ in range(round(seconds)):
            await asyncio.sleep(1)
            self.received_count += 1


def test_who_says_nothing_else_beats(run_by_its_own_clock):
    async def main():
        link = Link(LAUNCHER, HOST)
        await link.hear_for(10)
        assert link.beats == pytest.approx([3, 6, 9])
        link.sent_count += 1
        await link.hear_for(4)
        assert link.beats == pytest.approx([3, 6, 9]), "something else was said"
        await link.hear_for(2)
        assert link.beats[3:] == pytest.approx([15])

    run_by_its_own_clock(main())


@pytest.mark.parametrize("roles", [(LAUNCHER, HOST), (HOST, LAUNCHER), (CLIENT, HOST)])
def test_a_silent_peer_is_lost_within_15_s(run_by_its_own_clock, roles):
    async def main():
        link = Link(*roles)
        await link.hear_for(100)
        await asyncio.sleep(LIMIT_S - 1)
        assert not link.silences
        await asyncio.sleep(15 - LIMIT_S + 1)
        assert link.silences == [LIMIT_S]
        beats = list(link.beats)
        await asyncio.sleep(100)
        assert (link.silences, link.beats) == ([LIMIT_S], beats)

    run_by_its_own_clock(main())


def test_whatever_arrives_is_a_sign_of_life(run_by_its_own_clock):
    async def main():
        link = Link(HOST, LAUNCHER)
        for _ in range(20):
            await asyncio.sleep(LIMIT_S - INTERVAL_S)
            link.received_count += 1  # be it a part of a frame
        assert not link.silences

    run_by_its_own_clock(main())


def test_a_client_may_stand_still(run_by_its_own_clock):
    async def main():
        link = Link(HOST, CLIENT)
        await asyncio.sleep(1_000)
        assert not link.silences
        assert len(link.beats) == 333

    run_by_its_own_clock(main())


def test_a_second_connection_has_no_pulse(run_by_its_own_clock):
    async def main():
        for roles in ((BULK, HOST), (HOST, BULK)):
            link = Link(*roles)
            await asyncio.sleep(1_000)
            assert not link.silences
            assert not link.beats

    run_by_its_own_clock(main())


def test_before_the_greeting_and_after_the_goodbye_nobody_beats(run_by_its_own_clock):
    async def main():
        link = Link(HOST, LAUNCHER, is_greeted=False)
        await asyncio.sleep(100)
        assert (link.beats, link.silences) == ([], [])
        link.greet(LAUNCHER)
        await link.hear_for(3)
        assert len(link.beats) == 1
        link.conversation.sending(Frame(0, Goodbye("done")))
        await link.hear_for(30)
        assert len(link.beats) == 1

    run_by_its_own_clock(main())


def test_who_stood_still_himself_blames_nobody(run_by_its_own_clock):
    async def main():
        link = Link(LAUNCHER, HOST)
        await link.hear_for(10)
        for _ in range(10):
            link.late_s = 3_600.0
            await asyncio.sleep(2 * INTERVAL_S)
            link.late_s = 0.0
            await asyncio.sleep(3_600 + INTERVAL_S)
            assert not link.silences, "everybody has all the time again"
        await asyncio.sleep(LIMIT_S)
        assert link.silences == [LIMIT_S]

    run_by_its_own_clock(main())


def test_a_link_that_is_closed_has_no_pulse(run_by_its_own_clock):
    async def main():
        link = Link(LAUNCHER, HOST)
        link.is_closed = True
        await asyncio.sleep(1_000)
        assert (link.beats, link.silences) == ([], [])

    run_by_its_own_clock(main())
