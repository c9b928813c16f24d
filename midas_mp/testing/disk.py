"""The disk of a simulated client that keeps a journal: slow, and its power may be cut at any time.

A journal is written by its own code, with SQLite, into a folder in memory; what is simulated is
when a write is over, and what is left of one that was under way when its writer died.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Final, NamedTuple

from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal.file import JournalFile
from midas_mp.testing.chance import Chance

NAME: Final = "run.journal"

SECTOR_BYTES: Final = 512
"""A disk writes so many at once, or none of them."""

LATENCY_S_MAX: Final = 0.5

_WITHOUT: Final = ("-shm", "-lock")
"""Ends of names of files that are no part of what a journal says."""

Contents = dict[str, bytes]


def memory_folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A new folder, where there is no disk to wait for if the system has such a place."""
    memory = Path("/dev/shm")  # noqa: S108 - in a folder of its own
    return tempfile.TemporaryDirectory(prefix=prefix, dir=memory if memory.is_dir() else None)


class _Write(NamedTuple):
    """What was there before a call that is not over, and what will be after it."""

    before: Contents
    after: Contents


class SimulatedDisk(Executor):
    """Does what a journal's thread does at once, and says so some time later.

    Args:
        folder: of its own; it is made.
        rng: of how slow it is, and what a crash leaves.
        contents: its files.
    """

    def __init__(self, folder: Path, rng: Chance, contents: Contents | None = None) -> None:
        self.path = folder / NAME
        self._rng = rng
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self._latency_s = rng.choice([0.0, 0.001, LATENCY_S_MAX])
        self._file: JournalFile | None = None
        self._write: _Write | None = None
        self._due_s = 0.0
        self._is_dead = False
        folder.mkdir()
        for name, content in (contents or {}).items():
            (folder / name).write_bytes(content)

    def submit(self, function: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()  # too late to cancel it
        if self._is_dead:
            return future
        before = self._contents() if self._write is None else self._write.before
        try:
            result = function(*args)
        except (JournalFailed, JournalRefused) as error:
            future.set_exception(error)
            return future
        if isinstance(result, JournalFile):
            self._file = result
        write = self._write = _Write(before, self._contents())
        self._due_s = max(self._due_s, self._loop.time() + self._rng.uniform(0, self._latency_s))
        self._loop.call_at(self._due_s, self._finish, write, future, result)
        return future

    def crash(self, folder: Path) -> SimulatedDisk:
        """Its writer is gone, and with it what was not yet on the disk; what comes after it."""
        self._is_dead = True
        contents = self._contents() if self._write is None else self._torn(self._write)
        if self._file is not None:
            with contextlib.suppress(JournalFailed):
                self._file.close()
        shutil.rmtree(self._folder)
        return SimulatedDisk(folder, self._rng, contents)

    def _finish(self, write: _Write, future: Future[Any], result: Any) -> None:
        if self._is_dead:
            return
        if self._write is write:
            self._write = None
        future.set_result(result)

    def _contents(self) -> Contents:
        paths = sorted(path for path in self._folder.iterdir() if path.is_file())
        return {path.name: path.read_bytes() for path in paths if not path.name.endswith(_WITHOUT)}

    def _torn(self, write: _Write) -> Contents:
        """What is left of a write: of one to the log each sector or not, in any order.

        What touches several files comes with a flush between them, so it is there or not.
        """
        before, after = write
        log = NAME + "-wal"
        if log not in after or {**before, log: b""} != {**after, log: b""}:
            return self._rng.choice([before, after])
        old, new = before.get(log, b""), after[log]
        left = bytearray(new)
        share = self._rng.choice([0.0, 0.05, 0.5])
        for start in range(0, len(new), SECTOR_BYTES):
            if self._rng.happens(share):
                end = min(start + SECTOR_BYTES, len(new))
                left[start:end] = old[start:end].ljust(end - start, b"\0")
        if self._rng.happens(0.5):
            del left[self._rng.randint(min(len(old), len(new)), len(new)) :]
        return {**after, log: bytes(left)}
