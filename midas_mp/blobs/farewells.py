"""Who reads on when the connection has ended over which he said so.

An array that came as a result is somebody's own, and outlives the connection it came over, the host
that passed it on, and the node that it came from.  So what the other end of a connection reads is
not given back because that connection ends, but when all who may read of it have said so or are no
more: the other end itself, and those to whom it showed what it was shown.  The latter hold a token.

Nobody waits for that: whoever takes memory, and whoever trims it, looks.
"""

from __future__ import annotations

import os
import select
import threading
import weakref
from typing import Final, Protocol

from midas_mp.blobs.mapping import exiting


class Token:
    """One end of a pipe, to be given away: the kernel knows whether somebody has it.

    Raises:
        OSError: this process may open no more files.

    Attributes:
        fd: to be given away.
    """

    fd = _watched_fd = -1

    def __init__(self) -> None:
        self._watched_fd, self.fd = os.pipe()

    @property
    def is_held(self) -> bool:
        """Whether anybody else has it; from the first time on it is not given away any more."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        return not has_hung_up(self._watched_fd)

    def __del__(self, is_exiting: list[None] = exiting) -> None:
        if not is_exiting:
            for fd in (self.fd, self._watched_fd):
                if fd >= 0:
                    os.close(fd)


class KeptToken:
    """Another process' token, for as long as anything is kept that came with it.

    Attributes:
        fd: to be given away in turn.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self, is_exiting: list[None] = exiting) -> None:
        if not is_exiting:
            os.close(self.fd)


_kept: Final[weakref.WeakValueDictionary[tuple[int, int], KeptToken]] = (
    weakref.WeakValueDictionary()
)


def keep(fd: int) -> KeptToken:
    """A token that came; with each file of a node there comes one, and they are all the same."""
    found = os.fstat(fd)
    which = found.st_dev, found.st_ino
    token = _kept.get(which)
    if token is None:
        _kept[which] = token = KeptToken(fd)
    else:
        os.close(fd)
    return token


def has_hung_up(fd: int) -> bool:
    """Whether nobody has the other end of a pipe."""
    poll = select.poll()
    poll.register(fd, 0)  # a hang-up is told even to those who ask for nothing
    return bool(poll.poll(0))


class Farewell(Protocol):
    """What somebody may still read."""

    def has_ended(self) -> bool:
        """Gives back what is not read any more; whether that was all.  Does not wait."""


_farewells: Final[list[Farewell]] = []
_sweeping = threading.Lock()


def add(farewell: Farewell) -> None:
    """Looks after this until it has ended."""
    _farewells.append(farewell)


def sweep() -> None:
    """Gives back what is not read any more; to be called now and then, in any thread."""
    if _farewells and _sweeping.acquire(blocking=False):
        try:
            for farewell in tuple(_farewells):
                if farewell.has_ended():
                    _farewells.remove(farewell)
        finally:
            _sweeping.release()


def _after_in_child() -> None:
    """These are the parent's."""
    global _sweeping  # noqa: PLW0603 - another thread of the parent may have held it
    _sweeping = threading.Lock()
    _farewells.clear()


os.register_at_fork(after_in_child=_after_in_child)
