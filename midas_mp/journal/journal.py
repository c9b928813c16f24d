"""The journal of a running job: what was in it, and what comes to it, without blocking the loop.

One thread of its own does all that touches the file.  What comes while it writes is written
together next, in one transaction: a slow disk makes commits larger, never more numerous.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from midas_mp.journal.file import JournalFile, RecordedResults
from midas_mp.journal.records import JobRecord, Record, ResultsRecord, RoundRecord
from midas_mp.journal.summary import JournalSummary
from midas_mp.wire.framing import Buffer

T = TypeVar("T")

COMMIT_INTERVAL_S: Final = 0.02
"""From one commit to the next while results pour in: each costs a write to the disk and wakes two
threads, and the credit of a client lasts longer than this."""


class Journal:
    """Belongs to one event loop.

    Attributes:
        failed: done when something could not be written; holds why.
    """

    def __init__(self, file: JournalFile, thread: Executor) -> None:
        self._file = file
        self._thread = thread
        self._loop = asyncio.get_running_loop()
        self._pending: list[tuple[Record, Sequence[Buffer]]] = []
        self._written: list[Callable[[], None]] = []
        """What to call when the pending records are safe."""
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_urgent = False
        self._is_closing = False
        self._next_commit_s = 0.0
        self.failed: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(cls, path: Path, thread: Executor | None = None) -> Self:
        """Opens what is there, or a new one.

        Args:
            path: of the file.
            thread: does one thing at a time, and is the journal's; a new one if None.

        Raises:
            JournalRefused: there is something else, which stays as it is.
            JournalFailed: it is damaged, another run writes it, or it cannot be read or written.
        """
        thread = thread or ThreadPoolExecutor(1, "journal")
        try:
            file = await asyncio.get_running_loop().run_in_executor(thread, JournalFile, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(file, thread)

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def summary(self) -> JournalSummary | None:
        """What was in it when it was opened; None if nothing was."""
        return self._file.summary

    async def create(self, job: JobRecord) -> None:
        """Begins a journal that is empty; nobody goes on before that is safe."""
        await self._call(self._file.create, job)

    def begin_round(self, number: int, count: int, shared: bytes) -> None:
        self._pending.append((RoundRecord(number, count, shared, time.time()), ()))

    def record(
        self,
        record: ResultsRecord | None,
        buffers: Sequence[Buffer],
        written: Callable[[], None],
        *,
        is_urgent: bool,
    ) -> None:
        """Adds results, and calls ``written`` when they are safe; in the order of the calls.

        The buffers must stay as they are until then.

        Args:
            record: what to say of them; None is nothing to add, only to wait for what was.
            buffers: those of all outcomes.
            written: must not raise.  Not called once ``failed`` is done, nor while closing.
            is_urgent: whether somebody waits for it who has nothing else to do.
        """
        if self.failed.done():
            return
        if record is not None:
            self._pending.append((record, buffers))
        self._written.append(written)
        self._is_urgent |= is_urgent
        if self._writing is None:
            self._plan()

    async def read(self, sequences: range) -> tuple[list[RecordedResults], range]:
        """The first results of these, some megabytes of them, and the sequences of the rest.

        Raises:
            JournalFailed: they are not as they were written.
        """
        return await self._call(self._file.read, sequences)

    async def close(self) -> None:
        """Writes what is left, as far as it can be written, and tells nobody of it."""
        self._is_closing = True
        try:
            while (self._pending or self._writing) and not self.failed.done():
                self._write()
                assert self._writing is not None
                await asyncio.wait([self._writing])
            await self._call(self._file.close)
        finally:
            self.failed.cancel()
            self._thread.shutdown(wait=False)

    # -- commits -----------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Sees to it that what is pending is written in a moment."""
        delay_s = self._next_commit_s - self._loop.time()
        if self._is_urgent or delay_s <= 0:
            self._write()
        elif self._timer is None:
            self._timer = self._loop.call_later(delay_s, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            return
        batch, self._pending = self._pending, []
        written, self._written = self._written, []
        self._is_urgent = False
        self._next_commit_s = self._loop.time() + COMMIT_INTERVAL_S
        self._writing = self._call(self._file.append, batch)
        self._writing.add_done_callback(functools.partial(self._take_commit, written))

    def _take_commit(self, written: list[Callable[[], None]], commit: asyncio.Future[None]) -> None:
        self._writing = None
        error = commit.exception()
        if error is not None:
            self.failed.set_exception(error)
            self.failed.exception()  # whoever waits sees it; nobody need
        elif not self._is_closing:
            for tell in written:
                tell()
            if self._written:
                self._plan()

    def _call(self, function: Callable[..., T], *args: object) -> asyncio.Future[T]:
        return self._loop.run_in_executor(self._thread, function, *args)
