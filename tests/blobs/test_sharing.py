"""Shared memory, kept going by a loop."""

from __future__ import annotations

import asyncio
import os

import pytest

from midas_mp import limits
from midas_mp.blobs import peers
from midas_mp.blobs.sharing import Sharing
from midas_mp.errors import ConnectionLost

BLOB = limits.BLOB_BYTES_MIN


@pytest.fixture
def two(make_owner):
    def make():
        return [Sharing(sock, make_owner()) for sock in peers.socketpair()]

    return make


def held(sharing):
    return sharing._blobs._ends.ear.showing._held


def test_what_is_not_read_any_more_is_given_back(run, eventually, two):
    async def main():
        one, other = two()
        ref = one.refer(os.urandom(BLOB))
        seen = other.resolve(ref)
        kept = held(one)
        await asyncio.sleep(0)
        assert len(kept) == 1
        assert other._blobs.is_reading
        del seen
        await eventually(lambda: not kept)
        await eventually(lambda: other._timer is None)
        one.part()
        other.part()

    run(main())


def test_it_ends_with_the_other_end(run, eventually, two):
    async def main():
        one, other = two()
        seen = other.resolve(one.refer(bytes(BLOB)))
        one.part()
        await eventually(lambda: other._is_over)
        assert other.refer(bytes(BLOB)) is None
        assert bytes(seen) == bytes(BLOB)
        other.part()
        other.part()
        one.part()

    run(main())


def test_its_owner_hears_of_broken_rules(run, eventually, two):
    async def main():
        one, other = two()
        other._blobs._ends.channel.send(b"\xc1")
        await eventually(lambda: one._owner.errors)
        assert "not a release" in str(one._owner.errors[0])
        assert not other._owner.errors
        one.part()
        other.part()

    run(main())


def test_who_cannot_take_what_he_is_shown_says_so(run, eventually, make_owner, no_more_files):
    async def main():
        taxed = []
        one, other = (
            Sharing(sock, make_owner(), overtaxed=lambda: taxed.append(True))
            for sock in peers.socketpair()
        )
        assert one.refer(os.urandom(BLOB)) is not None
        with no_more_files():
            await eventually(lambda: other._owner.errors)
        assert isinstance(other._owner.errors[0], ConnectionLost)
        assert taxed == [True]
        one.part()
        other.part()

    run(main())
