"""Who came by a token stays as long as it is good."""

from __future__ import annotations

import gc

import pytest

from midas_mp.errors import PeerRefused
from midas_mp.transport import memory
from midas_mp.transport.guests import Guests
from midas_mp.wire.messages import Goodbye, Role


class Tokens:
    """Those that are good; also counts how often it is asked."""

    def __init__(self, *good):
        self.good = {*good}
        self.asked = 0

    def look_up(self, key, _role):
        self.asked += 1
        if key not in self.good:
            raise PeerRefused(f"the token {key} was revoked", refusal="token")


class Alarms:
    def __init__(self):
        self.due = []

    def __call__(self, _delay_s, wake):
        self.due.append(wake)

    def ring(self):
        due, self.due = self.due, []
        for wake in due:
            wake()


@pytest.fixture
def ends_of_pairs(make_ends):
    """Makes the two ends of an open link in memory."""

    async def make():
        ends = make_ends()
        ends.a, ends.b = memory.pair(ends.launcher, ends.launcher_talk, ends.host, ends.host_talk)
        await ends.greet()
        return ends

    return make


def test_a_token_that_is_revoked_ends_its_connections_and_no_other(run, ends_of_pairs):
    async def main():
        alarms, tokens = Alarms(), Tokens("one", "two")
        told = []
        guests = Guests(alarms, told.append)
        first, second, third = [await ends_of_pairs() for _ in range(3)]
        for ends, key in ((first, "one"), (second, "one"), (third, "two")):
            guests.add(ends.b, tokens, key, Role.LAUNCHER)
        alarms.ring()
        assert not any(ends.b.is_closed for ends in (first, second, third))
        assert tokens.asked == 2
        tokens.good.remove("one")
        alarms.ring()
        for ends in (first, second):
            (said,) = await ends.launcher.received(1)
            assert said.message == Goodbye("the token one was revoked")
            ends.a.close()
            assert await ends.launcher.lost() is None
        assert not third.b.is_closed
        assert told == [f"{first.b.peer}, {second.b.peer} had to go: the token one was revoked"]
        await third.finish()

    run(main())


def test_nobody_is_looked_after_when_all_have_gone(run, ends_of_pairs):
    async def main():
        alarms, tokens = Alarms(), Tokens("one")
        guests = Guests(alarms, print)
        first, second = [await ends_of_pairs() for _ in range(2)]
        for ends in (first, second):
            guests.add(ends.b, tokens, "one", Role.LAUNCHER)
        assert len(alarms.due) == 1
        await first.finish()
        await second.finish()
        alarms.ring()
        assert alarms.due == []
        assert tokens.asked == 0
        again = await ends_of_pairs()
        guests.add(again.b, tokens, "one", Role.LAUNCHER)
        assert len(alarms.due) == 1
        await again.finish()
        del again, first, second
        gc.collect()

    run(main())


def test_of_many_who_have_to_go_some_are_named(run, ends_of_pairs):
    async def main():
        alarms, tokens, told = Alarms(), Tokens(), []
        guests = Guests(alarms, told.append)
        pairs = [await ends_of_pairs() for _ in range(6)]
        for ends in pairs:
            guests.add(ends.b, tokens, "one", Role.LAUNCHER)
        alarms.ring()
        (text,) = told
        assert text.endswith(" and 2 more had to go: the token one was revoked")
        for ends in pairs:
            await ends.finish()

    run(main())
