"""Sends shared data over one bulk connection: part by part, as fast as the peer takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from midas_mp import limits
from midas_mp.scheduler.events import Transfer
from midas_mp.transport.link import Link
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.messages import SharedPart


class _Sending:
    """One transfer, and how far it is."""

    __slots__ = ("offset", "parts", "transfer")

    def __init__(self, transfer: Transfer) -> None:
        self.transfer = transfer
        self.offset = transfer.offset
        self.parts = parts(transfer.buffers, transfer.offset)


class SharedStream:
    """The transfers of one connection, a part of each in turn; the latest of each job.

    One that goes wrong ends the connection: its peer goes on over another one.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sendings: dict[str, _Sending] = {}
        """By job; the next part is of the first."""
        self._task: asyncio.Task[None] | None = None

    def begin(self, transfer: Transfer) -> None:
        """Add a transfer, in place of an earlier one of the same job."""
        self._sendings[transfer.job] = _Sending(transfer)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def stop(self, job: str, round_: int) -> None:
        """Nobody wants this any more."""
        sending = self._sendings.get(job)
        if sending is not None and sending.transfer.round == round_:
            del self._sendings[job]

    def close(self) -> None:
        """Stop everything at once; idempotent."""
        self._sendings.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._sendings:
                await self._link.drained()
                if self._link.is_closed:
                    return
                self._send_part()
        except Exception as error:  # noqa: BLE001 - whoever waits for the data must not for ever
            what = {"message": "sending shared data failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(what)
            self._link.abort()
        finally:
            self._task = None

    def _send_part(self) -> None:
        """Send the next part of the transfer whose turn it is, if none has stopped it."""
        job = next(iter(self._sendings), None)
        if job is None:
            return
        sending = self._sendings.pop(job)
        part = next(sending.parts, None)
        if part is None:
            return
        self._sendings[job] = sending
        message = SharedPart(job, sending.transfer.round, sending.offset)
        self._link.send([Frame(CONTROL_CHANNEL, message, [part])])
        sending.offset += len(part)


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
