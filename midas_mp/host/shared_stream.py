"""Sends shared data over one bulk connection: part by part, as fast as the peer takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from midas_mp import limits
from midas_mp.scheduler.events import Transfer
from midas_mp.transport.link import Link
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.messages import SharedPart


class SharedStream:
    """The transfers of one connection, one after the other, the latest of each job."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transfers: dict[str, Transfer] = {}
        """By job; the first one is under way."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, transfer: Transfer) -> None:
        """Add a transfer, in place of an earlier one of the same job."""
        self._transfers[transfer.job] = transfer
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def stop(self, job: str, round_: int) -> None:
        """Nobody wants this any more."""
        transfer = self._transfers.get(job)
        if transfer is not None and transfer.round == round_:
            del self._transfers[job]

    def close(self) -> None:
        """Stop everything at once; idempotent."""
        self._transfers.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._transfers and not self._link.is_closed:
            transfer = next(iter(self._transfers.values()))
            await self._send(transfer)
            if self._transfers.get(transfer.job) is transfer:
                del self._transfers[transfer.job]
        self._task = None

    async def _send(self, transfer: Transfer) -> None:
        """Send one to its end, or until it is replaced or stopped."""
        offset = transfer.offset
        for part in parts(transfer.buffers, offset):
            await self._link.drained()
            if self._transfers.get(transfer.job) is not transfer or self._link.is_closed:
                return
            message = SharedPart(transfer.job, transfer.round, offset)
            self._link.send([Frame(CONTROL_CHANNEL, message, [part])])
            offset += len(part)


def parts(buffers: Sequence[Buffer], offset: int) -> Iterator[memoryview]:
    """Slices of the buffers from a byte on, none longer than a part should be."""
    for buffer in buffers:
        view = memoryview(buffer)
        if offset >= len(view):
            offset -= len(view)
            continue
        for start in range(offset, len(view), limits.SHARED_PART_BYTES):
            yield view[start : start + limits.SHARED_PART_BYTES]
        offset = 0
