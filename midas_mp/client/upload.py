"""Shared data on its way to the host: a bulk connection of its own, one part at a time.

The host says from which byte on it wants what was offered.  Nothing is counted here twice: when
the connection breaks, the data is offered again, and the host's answer says how far it came.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import random
from collections.abc import Sequence
from typing import Protocol

from midas_mp import limits
from midas_mp.client.line import Line
from midas_mp.errors import InternalError, MidasError
from midas_mp.transport.backoff import Backoff
from midas_mp.transport.link import Dial
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import Hello, OfferShared, SharedPart


class SharedPayload:
    """What the tasks of one round of one job share; its bytes are those of its buffers in order."""

    def __init__(self, job: str, round_: int, buffers: Sequence[Buffer]) -> None:
        self._views = [memoryview(buffer).cast("B") for buffer in buffers]
        sizes = [len(view) for view in self._views]
        self._starts = [0, *itertools.accumulate(sizes)]
        self.offer = OfferShared(job, round_, sizes)

    @property
    def size_bytes(self) -> int:
        return self._starts[-1]

    def part(self, offset: int) -> Buffer:
        """At most ``limits.SHARED_PART_BYTES`` from an offset on; copied only across buffers."""
        wanted = limits.SHARED_PART_BYTES
        pieces: list[memoryview] = []
        number = bisect.bisect_right(self._starts, offset) - 1
        while wanted > 0 and number < len(self._views):
            begin = offset - self._starts[number]
            piece = self._views[number][begin : begin + wanted]
            pieces.append(piece)
            offset += len(piece)
            wanted -= len(piece)
            number += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class UploadOwner(Protocol):
    """On whose behalf it is sent."""

    def upload_broken(self) -> None:
        """Parts may be lost: offer again whatever is shared."""

    def upload_delayed(self, text: str) -> None:
        """A sentence for the user."""

    def upload_failed(self, error: MidasError) -> None:
        """The host wants no more of it."""


class Upload:
    """The bulk connection of a client.  Also the owner of its lines."""

    def __init__(
        self, dial: Dial, hello: Hello, owner: UploadOwner, *, jitter: random.Random
    ) -> None:
        self._dial = dial
        self._hello = hello
        self._owner = owner
        self._backoff = Backoff(delay_s_max=limits.RETURN_DELAY_S_MAX, jitter=jitter)
        self._line: Line | None = None
        self._wanted: dict[str, tuple[SharedPayload, int]] = {}
        """What the host asked for, and the next byte of it, by job."""
        self._delay_s = 0.0
        """Before the next dialling: it is the first, or the last went wrong."""
        self._told = ""
        self._sending: asyncio.Task[None] | None = None

    def send(self, payload: SharedPayload, offset: int) -> None:
        """The host wants this from an offset on; whatever else it wanted of that job is void."""
        self.drop(payload.offer.job)
        if offset < payload.size_bytes:
            self._wanted[payload.offer.job] = (payload, offset)
            if self._sending is None:
                self._sending = asyncio.get_running_loop().create_task(self._send())

    def drop(self, job: str) -> None:
        """Nothing more of this job."""
        self._wanted.pop(job, None)

    def stop(self) -> None:
        """Nothing more at all until the host asks again; idempotent."""
        self._wanted.clear()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._line is not None:
            self._line.leave("done")
            self._line = None

    async def _send(self) -> None:
        try:
            while self._wanted:
                if self._line is None:
                    await self._dial_once()
                else:
                    self._send_parts(self._line)
                    await self._line.drained()
        except Exception as error:  # noqa: BLE001 - who waits for the data must hear of our bug
            self._owner.upload_failed(InternalError(f"sending shared data failed: {error!r}"))
        self._sending = None

    async def _dial_once(self) -> None:
        await asyncio.sleep(self._delay_s)
        try:
            await Line(self).open(self._dial, self._hello)
        except MidasError as error:
            self._delay_s = self._backoff.next_delay_s()
            if str(error) != self._told:
                self._told = str(error)
                text = f"no connection for the shared data ({error}); trying again"
                self._owner.upload_delayed(text)

    def _send_parts(self, line: Line) -> None:
        """The next part of each, so that no job waits for another."""
        for job, (payload, offset) in list(self._wanted.items()):
            part = payload.part(offset)
            line.say(SharedPart(job, payload.offer.round, offset), [part])
            end = offset + len(part)
            if end < payload.size_bytes:
                self._wanted[job] = (payload, end)
            else:
                del self._wanted[job]
                self._delay_s, self._told = 0.0, ""
                self._backoff.reset()

    # -- from the line -----------------------------------------------------------------------------

    def line_welcomed(self, line: Line) -> None:
        self._line = line

    def frame_received(self, frame: Frame) -> None:
        """The host says nothing on it."""

    def line_lost(self, line: Line, error: MidasError) -> None:
        self._line = None
        self._wanted.clear()
        self._delay_s = self._backoff.next_delay_s()
        if line.is_final:
            self._owner.upload_failed(error)
        else:
            self._owner.upload_broken()
