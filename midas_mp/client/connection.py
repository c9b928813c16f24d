"""A client's connection to its host: dialled once by the user, and again whenever it is lost.

    open ─▶ line ── lost ──▶ back-off ─▶ dial ─▶ Hello ─▶ Welcome ─▶ line …
                                └──── nobody within the patience: given up

What must be said again on a new line its owner knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol

from midas_mp import limits
from midas_mp.client.line import Line
from midas_mp.errors import ClusterLost, InternalError, MidasError, WorldError
from midas_mp.transport.backoff import Backoff
from midas_mp.transport.gap import GapWatch
from midas_mp.transport.link import Dial
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import Hello
from midas_mp.wire.vocabulary import AnyMessage

STEADY_S: Final = 1.0
"""A line that lasted so long has worked, and so has one that brought a result.  One that breaks
sooner, again and again, uses up the same patience, so that what breaks it cannot do so for ever."""


class ConnectionOwner(Protocol):
    """Who speaks through a connection."""

    def connected(self, *, is_return: bool) -> None:
        """The host listens; on a return it may have forgotten everything."""

    def frame_received(self, frame: Frame) -> None: ...

    def disconnected(self, error: MidasError) -> None:
        """Nobody listens for now; it is being dialled again."""

    def connection_failed(self, error: MidasError) -> None:
        """It was lost and will not come again."""


class Connection:
    """The control connection.  Also the owner of its lines, one after the other.

    Attributes:
        has_worked: the present line has; its owner says so, and that may happen only so often.
    """

    def __init__(
        self,
        dial: Dial,
        hello: Hello,
        owner: ConnectionOwner,
        *,
        patience_s: float,
        jitter: random.Random,
    ) -> None:
        self._dial = dial
        self._hello = hello
        self._owner = owner
        self._patience_s = patience_s
        self._backoff = Backoff(delay_s_max=limits.RETURN_DELAY_S_MAX, jitter=jitter)
        self._loop = asyncio.get_running_loop()
        self._line: Line | None = None
        self._returning: asyncio.Task[None] | None = None
        self.has_worked = False
        self._was_connected = False
        self._welcomed_s = 0.0
        self._given_up_s = 0.0
        """When the patience with the present trouble ends."""

    async def open(self) -> str:
        """Dials and greets for the first time; our name at the host.

        Raises:
            MidasError: see ``Line.open``.
        """
        return await Line(self).open(self._dial, self._hello)

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        """Does nothing while nobody listens."""
        if self._line is not None:
            self._line.say(message, buffers)

    def close(self) -> None:
        """Says goodbye, or stops dialling; idempotent."""
        if self._returning is not None:
            self._returning.cancel()
        if self._line is not None:
            self._line.leave("done")
            self._line = None

    # -- from the line -----------------------------------------------------------------------------

    def line_welcomed(self, line: Line) -> None:
        self._line = line
        self.has_worked = False
        self._welcomed_s = self._loop.time()
        is_return, self._was_connected = self._was_connected, True
        self._owner.connected(is_return=is_return)

    def frame_received(self, frame: Frame) -> None:
        self._owner.frame_received(frame)

    def line_lost(self, line: Line, error: MidasError) -> None:
        self._line = None
        now = self._loop.time()
        has_worked = self.has_worked or now - self._welcomed_s >= STEADY_S
        if has_worked or not self._given_up_s:
            self._given_up_s = now + self._patience_s
            self._backoff.reset()
        if line.is_final or now >= self._given_up_s:
            self._owner.connection_failed(error)
            return
        self._owner.disconnected(error)
        self._returning = self._loop.create_task(self._come_back(error))

    async def _come_back(self, cause: MidasError) -> None:
        try:
            await self._dial_until_given_up(cause)
        except MidasError as error:
            self._owner.connection_failed(error)
        except Exception as error:  # noqa: BLE001 - who waits for the host must hear of our bug
            self._owner.connection_failed(InternalError(f"coming back failed: {error!r}"))

    async def _dial_until_given_up(self, cause: MidasError) -> None:
        latest: MidasError | None = None
        try:
            async with asyncio.timeout_at(self._given_up_s) as patience:
                with contextlib.closing(GapWatch(partial(self._wait_longer, patience))):
                    while True:
                        await asyncio.sleep(self._backoff.next_delay_s())
                        try:
                            await Line(self).open(self._dial, self._hello)
                        except WorldError as error:
                            latest = error
                        else:
                            return
        except TimeoutError:
            if self._line is not None:
                return  # in the very last moment
            told = f" ({latest})" if latest is not None else ""
            raise ClusterLost(
                f"{cause}; nobody was there again within {self._patience_s:g} s{told}"
            ) from None

    def _wait_longer(self, patience: asyncio.Timeout, gap_s: float) -> None:
        """The process stood still for so long, and could not look for anybody."""
        self._given_up_s += gap_s
        patience.reschedule(self._given_up_s)
