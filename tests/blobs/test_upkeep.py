from __future__ import annotations

import asyncio
import os

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.blobs.upkeep import Upkeep

BLOB = limits.BLOB_BYTES_MIN


def test_what_lies_idle_is_given_back_sooner_or_later(monkeypatch):
    monkeypatch.setattr(pool, "_of_this_process", pool._OfThisProcess())
    monkeypatch.setattr(pool, "TRIM_INTERVAL_S", 0.01)
    block = pool.allocate(4 * BLOB)
    block[:] = os.urandom(len(block))
    del block
    here = pool._of_this_process.get()

    async def wait() -> None:
        upkeep = Upkeep()
        while here.touched_bytes:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        upkeep.close()

    asyncio.run(asyncio.wait_for(wait(), 20))


def test_its_end_gives_back_all_and_ends_it(monkeypatch):
    monkeypatch.setattr(pool, "_of_this_process", pool._OfThisProcess())
    block = pool.allocate(4 * BLOB)
    block[:] = os.urandom(len(block))
    del block

    async def close() -> None:
        upkeep = Upkeep()
        await asyncio.sleep(0)
        assert pool._of_this_process.get().touched_bytes == 4 * BLOB
        upkeep.close()
        upkeep.close()
        assert upkeep._timer.cancelled()

    asyncio.run(close())
    assert pool._of_this_process.get().touched_bytes == 0
