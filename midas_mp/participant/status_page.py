"""The page that a Lua process shares with its parent: what it runs, and its last words.

    0 ─────── 48 ── 128 ──────── 4096 ────────── WORDS_OFFSET ─────────── STATUS_PAGE_BYTES
    what runs │ mark │ taken back │ unsent results │ stderr of the process

The parent makes it, the zygote hands it on, the process writes all but one number.  It is a sealed
memfd: neither side can change its size, so reading it never faults, and what a process said before
it died stays.  The process is not trusted: the parent takes all of it as numbers and text of a
stranger.

That number is up to which of the calls that were sent to it the process may begin none any more.
It says what it begins before it looks at the number.  So if the number has stood there for a
moment, far longer than a write takes to reach another processor, and the process still is at an
earlier call, then it will begin none of them.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import time
from dataclasses import dataclass
from typing import Final, Self

from midas_mp import limits
from midas_mp.participant.unsent_results import UnsentResult, UnsentResults

UNSENT_OFFSET: Final = 4096

WORDS_OFFSET: Final = UNSENT_OFFSET + limits.UNSENT_RESULTS_BYTES
"""Where the process' stdout and stderr begin."""

MARK_OFFSET: Final = 48
MARK: Final = b"midas status page, not for scripts"
"""By this the Lua library knows a page from a file."""

LAST_WORDS_CHARACTERS_MAX: Final = 4096
"""The end of what was said: it goes into a message's text and before a person's eyes."""

_REFUSALS: Final = (errno.ENOSYS, errno.EPERM, errno.EACCES)
"""A sandbox around us, or an old kernel, has no memfd."""

_FIELDS: Final = struct.Struct("=6Q")
"""sequence, serial, started_ns, round, index, sequence again."""

_TAKEN_BACK_OFFSET: Final = 128
_TAKEN_BACK_WORD: Final = _TAKEN_BACK_OFFSET // 8

_SEQUENCE: Final = struct.Struct("=Q")
_TAIL_OFFSET: Final = _FIELDS.size - _SEQUENCE.size
_TAIL_WORD: Final = _TAIL_OFFSET // 8
_NUMBER_MAX: Final = 2**53
_READS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class RunningTask:
    """What a process says it is running."""

    serial: int
    """Counts the calls of this process, from 1, in the order in which they were sent to it."""
    round: int
    index: int
    started_ns: int
    """CLOCK_MONOTONIC, never in the future."""


class StatusPage:
    """One end's mapping of the page; ``fileno()`` is the file behind it.

    Attributes:
        unsent: where the process puts the results that it has not sent yet.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map = mmap.mmap(fd, limits.STATUS_PAGE_BYTES)
        self._words = memoryview(self._map).cast("Q")
        self._serial = 0
        self.unsent = UnsentResults(self._map, UNSENT_OFFSET)

    @classmethod
    def create(cls) -> Self:
        """A new page, its file position where the process' stderr goes."""
        fd = _new_file()
        try:
            os.pwrite(fd, MARK, MARK_OFFSET)
            os.lseek(fd, WORDS_OFFSET, os.SEEK_SET)
            return cls(fd)
        except OSError:  # a mapping takes a descriptor of its own
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int) -> Self:
        """The other end's mapping; takes over ``fd``."""
        return cls(fd)

    def fileno(self) -> int:
        return self._fd

    # -- the process' side ---------------------------------------------------------------------

    def begin_task(self, serial: int, round_: int, index: int) -> int:
        """Says what runs from now on.

        Returns:
            When it began (CLOCK_MONOTONIC, in ns); 0 where the parent has taken it back, so that it
            must not begin.
        """
        self._serial = serial
        now_ns = time.monotonic_ns()
        odd = 2 * serial - 1
        _FIELDS.pack_into(self._map, 0, odd, serial, now_ns, round_, index, odd)
        return now_ns if self._words[_TAKEN_BACK_WORD] < serial else 0

    def end_task(self) -> None:
        """Says that nothing runs."""
        words = self._words
        words[0] = words[_TAIL_WORD] = 2 * self._serial

    # -- the parent's side -----------------------------------------------------------------------

    def read(self) -> RunningTask | None:
        """What runs now; None when nothing does, or when what stands there makes no sense.

        The process writes the fields front to back, the sequence number at both ends; reading
        back to front, both are equal only if nothing was written in between.
        """
        for _ in range(_READS_MAX):
            (after,) = _SEQUENCE.unpack_from(self._map, _TAIL_OFFSET)
            _, serial, started_ns, round_, index, _ = _FIELDS.unpack_from(self._map)
            (before,) = _SEQUENCE.unpack_from(self._map)
            if before == after:
                break
        else:
            return None
        if before % 2 == 0 or max(serial, round_, index) > _NUMBER_MAX:
            return None
        return RunningTask(serial, round_, index, min(started_ns, time.monotonic_ns()))

    def read_unsent(self, first: int, running: RunningTask) -> list[UnsentResult]:
        """What the process has finished and not sent, from that call on to the running one.

        None where that is not known, as when another call runs by now.
        """
        results = self.unsent.read(first, running.serial)
        now = self.read()
        return results if now is not None and now.serial == running.serial else []

    def take_back(self, serial: int) -> None:
        """Of the calls up to this one the process is to begin none any more."""
        self._words[_TAKEN_BACK_WORD] = serial

    def last_words(self) -> str:
        """The end of what the process wrote to stderr, safe to print.

        Line breaks stay; whatever else does not print is escaped.
        """
        data = self._map[WORDS_OFFSET:].rstrip(b"\0")
        text = data.decode("utf-8", "backslashreplace")
        # An escape is at least as long as its character: cut before and after.
        escaped = "".join(map(_printable, text[-LAST_WORDS_CHARACTERS_MAX:]))
        return escaped[-LAST_WORDS_CHARACTERS_MAX:].strip()

    def close(self) -> None:
        """Ends this mapping and closes the file; idempotent."""
        if self._fd >= 0:
            self._words.release()
            self._map.close()
            os.close(self._fd)
            self._fd = -1


def _printable(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def _new_file() -> int:
    if not hasattr(os, "memfd_create"):
        return _unlinked_file()
    try:
        return _sealed_memfd()
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return _unlinked_file()


def _sealed_memfd() -> int:
    import fcntl

    fd = os.memfd_create("midas-status", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, limits.STATUS_PAGE_BYTES)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def _unlinked_file() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), limits.STATUS_PAGE_BYTES)
        return os.dup(file.fileno())
