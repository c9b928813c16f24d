"""Shared memory, kept going by a loop."""

from __future__ import annotations

import asyncio
import os

from midas_mp import limits
from midas_mp.blobs import peers
from midas_mp.executor.sharing import Sharing

BLOB = limits.BLOB_BYTES_MIN


def test_what_is_not_read_any_more_is_given_back(run, eventually):
    async def main():
        one, other = map(Sharing, peers.socketpair())
        ref = one.blobs.refer(os.urandom(BLOB))
        seen = other.blobs.resolve(ref)
        held = one.blobs._showing._held
        await asyncio.sleep(0)
        assert len(held) == 1
        assert other.blobs.is_reading
        del seen
        await eventually(lambda: not held)
        await eventually(lambda: other._timer is None)
        one.close()
        other.close()

    run(main())


def test_it_ends_with_the_other_end(run, eventually):
    async def main():
        one, other = map(Sharing, peers.socketpair())
        seen = other.blobs.resolve(one.blobs.refer(bytes(BLOB)))
        one.close()
        await eventually(lambda: other._is_over)
        assert other.blobs.refer(bytes(BLOB)) is None
        assert bytes(seen) == bytes(BLOB)
        other.close()
        other.close()
        one.close()

    run(main())
