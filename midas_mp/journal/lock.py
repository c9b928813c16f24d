"""One process at a time writes a journal: a lock that ends with its process, however that ends.

It is on a file beside the journal, since SQLite's own locks let writers take turns.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from midas_mp.errors import JournalFailed


class JournalLock:
    """Held from its making to ``release``.

    Raises:
        JournalFailed: another process holds it, or there can be no such file.
    """

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + "-lock")
        try:
            self._descriptor = self._acquire()
        except BlockingIOError:
            raise JournalFailed("another run of Midas writes it") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise JournalFailed(f"cannot write in {self._path.parent}: {reason}") from None

    def release(self) -> None:
        """Leaves no file.  Idempotent."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _acquire(self) -> int:
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_there(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_there(self, descriptor: int) -> bool:
        """Not so where the one who held it took it away meanwhile."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(descriptor))
