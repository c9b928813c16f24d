"""Shared data on its way to this node: one copy of each round's, whatever the number of workers.

    host: OfferShared ─ control ─▶ launcher
    host ◀─ bulk: FetchShared(from this byte) ── fetcher
    host ── bulk: SharedPart, SharedPart … ─▶ fetcher ── SharedHeld ─ control ─▶ host

The bulk connection is opened when there is something to fetch, and used again.  It may break
while the control connection lives: then it is opened anew, and goes on at the byte reached.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

from midas_mp import limits
from midas_mp.blobs import pool
from midas_mp.errors import (
    ConnectionLost,
    MidasError,
    PeerError,
    PeerRefused,
    ProtocolError,
    WorldError,
)
from midas_mp.transport.backoff import Backoff
from midas_mp.transport.link import Dial, Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Buffer, Frame
from midas_mp.wire.local import SharedData
from midas_mp.wire.messages import (
    FetchShared,
    Goodbye,
    Hello,
    OfferShared,
    Refused,
    Role,
    SharedPart,
)

PROGRESS_INTERVAL_S: Final = 0.2
"""How often the host hears how much has come."""


class SharedCopy:
    """One round's shared data of one job on this node, as far as it has come.

    Attributes:
        received_bytes: how much of it is here; it comes in order.
        total_bytes: how much it will be.
    """

    def __init__(self, offer: OfferShared) -> None:
        self.job = offer.job
        self.round = offer.round
        self.total_bytes = sum(offer.sizes)
        self.received_bytes = 0
        self._sizes: Sequence[int] = offer.sizes
        self._buffers = [_room_for(size) for size in offer.sizes]
        self._filling = 0
        self._filled_bytes = 0
        """Of the buffer that is being filled."""

    @property
    def is_complete(self) -> bool:
        return self.received_bytes == self.total_bytes

    def is_of(self, offer: OfferShared) -> bool:
        """Whether the offer is of these very data."""
        return (self.job, self.round, self._sizes) == (offer.job, offer.round, offer.sizes)

    def frame(self) -> Frame:
        """For a worker, once all is here; the buffers are not copied, and what of them lies in
        shared memory all workers read in place.
        """
        assert self.is_complete
        return Frame(CONTROL_CHANNEL, SharedData(self.job, self.round), self._buffers)

    def put(self, offset: int, part: Buffer) -> None:
        """Appends what came next.

        No memory is touched on the strength of an offer: shared memory costs what is written, and
        where there is none buffers grow with what arrives.

        Raises:
            ProtocolError: it is not what comes next.
        """
        rest = memoryview(part).cast("B")
        if offset != self.received_bytes or rest.nbytes > self.total_bytes - offset:
            raise ProtocolError(
                f"shared data of job {self.job}: {rest.nbytes} bytes at {offset} do not follow "
                f"{self.received_bytes} of {self.total_bytes}"
            )
        self.received_bytes += rest.nbytes
        while rest:
            buffer, start = self._buffers[self._filling], self._filled_bytes
            piece = rest[: self._sizes[self._filling] - start]
            buffer[start : start + len(piece)] = piece  # at the end of a bytearray: it grows
            self._filled_bytes += len(piece)
            rest = rest[len(piece) :]
            if rest:
                self._filling += 1
                self._filled_bytes = 0


def _room_for(size_bytes: int) -> bytearray | memoryview:
    block = pool.allocate(size_bytes) if size_bytes >= limits.BLOB_BYTES_MIN else None
    return bytearray() if block is None else block


class SharedFetcher:
    """Fetches what was offered, one copy after the other; also the bulk link's ``Receiver``.

    Args:
        dial: how to reach the host.
        hello: how to greet it on a bulk connection.
        announce: told why nothing comes; once, until a copy is complete.
        jitter: spreads the tries of a fleet.
        progressed: told every so often, and when a copy is complete.
    """

    def __init__(
        self,
        dial: Dial,
        *,
        hello: Callable[[], Hello],
        announce: Callable[[str], None],
        jitter: random.Random,
        progressed: Callable[[SharedCopy], None],
    ) -> None:
        self._dial = dial
        self._hello = hello
        self._announce = announce
        self._progressed = progressed
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[str, SharedCopy] = {}
        """By job; the first is on its way."""
        self._link: Link | None = None
        self._work: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._told_s = 0.0
        self._has_complained = False
        self._has_brought = False
        """Whether anything has come on this connection."""
        self._backoff = Backoff(delay_s_max=limits.RETURN_DELAY_S_MAX, jitter=jitter)

    @property
    def is_busy(self) -> bool:
        return bool(self._wanted)

    def fetch(self, copy: SharedCopy) -> None:
        """Brings what is missing of it, instead of what was wanted of its job before."""
        self.drop_job(copy.job)
        if copy.is_complete:
            self._progressed(copy)
            return
        self._wanted[copy.job] = copy
        if self._work is None or self._work.done():
            self._work = self._loop.create_task(self._fetch_all())

    def drop_job(self, job: str) -> None:
        """Wants nothing more for it; parts that are on the way are passed over."""
        if self._wanted.pop(job, None) is not None:
            self._changed.set()

    def stop(self) -> None:
        """Wants nothing more and hangs up: the control connection has ended."""
        self._wanted.clear()
        if self._work is not None:
            self._work.cancel()
            self._work = None
        if self._link is not None:
            link, self._link = self._link, None
            may_speak = link.conversation.may_speak
            goodbye = Goodbye("its control connection has ended")
            link.close(Frame(CONTROL_CHANNEL, goodbye) if may_speak else None)

    # -- the one task ----------------------------------------------------------------------------

    async def _fetch_all(self) -> None:
        self._has_complained = False
        while self._wanted:
            try:
                if self._link is None:
                    await self._connect()
                if self._link is not None:
                    await self._fetch_from(self._link)
            except Exception as error:  # noqa: BLE001 - tasks wait for the data: it has to go on
                self._stumble(error)
            if self._link is None:
                await asyncio.sleep(self._backoff.next_delay_s())

    async def _connect(self) -> None:
        """Knocks.

        Raises:
            WorldError: nobody answers there now.
        """
        link = await self._dial(self, Conversation(Role.BULK, Role.HOST))
        if link.is_closed:  # nobody here would have heard of it
            raise ConnectionLost(f"{link.peer}: the connection ended at once")
        self._link = link
        self._has_brought = False
        link.send([Frame(CONTROL_CHANNEL, self._hello())])

    def _stumble(self, error: Exception) -> None:
        """Begins anew with another connection; our own bugs the loop hears of, as from a link."""
        link = self._link
        if link is not None:
            self._hang_up(link)
        if not isinstance(error, WorldError | PeerError | OSError):
            what = {"message": "fetching shared data failed", "exception": error, "link": link}
            self._loop.call_exception_handler(what)
        self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Says why nothing comes; what follows of it is the same story."""
        if not self._has_complained and self._wanted:
            self._has_complained = True
            self._announce(f"cannot fetch shared data: {error}; trying again")

    async def _fetch_from(self, link: Link) -> None:
        """Brings the first copy that is wanted, as far as this connection goes."""
        while self._link is link and not link.conversation.is_open:
            await self._change()
        if self._link is not link or not self._wanted:
            return
        copy = next(iter(self._wanted.values()))
        question = FetchShared(copy.job, copy.round, copy.received_bytes)
        link.send([Frame(CONTROL_CHANNEL, question)])
        while self._link is link and self._wanted.get(copy.job) is copy:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # -- as a Receiver -----------------------------------------------------------------------------

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        if link is not self._link:
            return
        try:
            for frame in frames:
                self._hear(link, frame)
        except PeerError as error:
            # a fresh connection brings it from where this one went astray
            self._complain(error)
            self._hang_up(link)
        self._changed.set()

    def _hear(self, link: Link, frame: Frame) -> None:
        match frame.message:
            case SharedPart() as part:
                self._take(part, frame.buffers[0])
            case Goodbye(code="leaving"):
                self._hang_up(link)
            case Refused(reason=reason, code=code) | Goodbye(reason=reason, code=code):
                raise PeerRefused(reason, refusal=code)

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        if link is self._link:
            if not self._has_brought:
                self._complain(error or ConnectionLost(f"{link.peer} hung up"))
            self._hang_up(link)

    def _hang_up(self, link: Link) -> None:
        self._link = None
        link.abort()
        self._changed.set()

    def _take(self, part: SharedPart, data: Buffer) -> None:
        copy = self._wanted.get(part.job)
        if copy is None or copy.round != part.round:
            return  # of what is not wanted any more
        copy.put(part.offset, data)
        self._has_brought = True
        self._backoff.reset()
        now_s = self._loop.time()
        if copy.is_complete:
            del self._wanted[copy.job]
            self._has_complained = False
            self._progressed(copy)
        elif now_s - self._told_s >= PROGRESS_INTERVAL_S:
            self._told_s = now_s
            self._progressed(copy)
