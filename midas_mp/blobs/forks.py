"""What a forked process sees of shared memory stays as it is for as long as that process lives.

A fork gets a copy of all memory but this.  So what was held when this process forked is not given
back before the forked process has ended, and all that it forked: each has the end of a pipe.  To
exec another program lets go of it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final


class _Fork:
    """A forked process, and what it may see.

    Args:
        alive_fd: reads its end; negative is one of which nobody can tell.

    Attributes:
        seen_before: what has a smaller number was held when it was forked.
        kept: what is to be given back after its end: the number, and how.
    """

    def __init__(self, alive_fd: int) -> None:
        self.seen_before = next(_numbers)
        self.kept: deque[tuple[int, Callable[[], None]]] = deque()
        self._alive_fd = alive_fd

    @property
    def has_ended(self) -> bool:
        if self._alive_fd < 0:
            return False
        poll = select.poll()
        poll.register(self._alive_fd, 0)  # a hang-up is told even to those who ask for nothing
        return bool(poll.poll(0))

    def close(self) -> None:
        if self._alive_fd >= 0:
            os.close(self._alive_fd)

    def release(self) -> None:
        with contextlib.suppress(IndexError):  # several threads may be at it
            while self.kept:
                give_back(*self.kept.popleft())


_numbers: Final = itertools.count(1)
_forks: Final[list[_Fork]] = []
"""Things may end in any thread, even in the middle of what this one does, so there is no lock: each
step on these is one that no other thread gets into."""
_forking: Final = threading.local()
_has_held: Final[list[None]] = []
"""Not empty once something was held: who only forks, as the zygote does, has nothing to watch."""


def next_number() -> int:
    """For something that is held from now on."""
    if not _has_held:
        _has_held.append(None)
    return next(_numbers)


def give_back(number: int, let_go: Callable[[], None]) -> None:
    """Calls ``let_go`` as soon as nobody can see any more what was held by that number."""
    for fork in tuple(_forks):
        if number < fork.seen_before and not fork.has_ended:
            fork.kept.append((number, let_go))
            if fork not in _forks:  # it has ended this very moment
                fork.release()
            return
    let_go()


def sweep() -> None:
    """Gives back what was kept for processes that have ended; to be called now and then."""
    for fork in tuple(_forks):
        if not fork.has_ended:
            continue
        try:
            _forks.remove(fork)
        except ValueError:  # another thread was faster
            continue
        fork.close()
        fork.release()


def _before() -> None:
    sweep()
    _forking.end_fd = -1
    if not _has_held:
        return
    try:
        alive_fd, _forking.end_fd = os.pipe()
    except OSError:
        alive_fd = -1
    _forks.append(_Fork(alive_fd))


def _after_in_parent() -> None:
    if _forking.end_fd >= 0:
        os.close(_forking.end_fd)


def _after_in_child() -> None:
    """The end of the pipe stays open, and is nobody's."""
    for fork in _forks:
        fork.close()
    _forks.clear()


os.register_at_fork(
    before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
)
