"""Whoever has a loop and uses shared memory gives back what of it lies idle."""

from __future__ import annotations

import asyncio

from midas_mp.blobs import pool


class Upkeep:
    """Trims this process' pool from now on, in the running loop, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle = self._loop.call_soon(self._trim)

    def close(self) -> None:
        """Gives back all that is not in use; idempotent."""
        self._timer.cancel()
        pool.empty()

    def _trim(self) -> None:
        self._timer = self._loop.call_later(pool.trim(), self._trim)
