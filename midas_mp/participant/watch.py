"""Looking at something again and again, for as long as there is something to look at."""

from __future__ import annotations

import abc
import asyncio


class Watch(abc.ABC):
    """A timer of the loop that runs only while it is of use.

    Whoever makes something to look at calls ``watch``; the watch ends by itself.
    """

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        """When the last look was due, or the next one is, by the loop's clock."""
        self._is_stopped = False
        self._loop = asyncio.get_running_loop()

    @property
    def is_watching(self) -> bool:
        return self._timer is not None

    def watch(self) -> None:
        """Looks from now on, until there is nothing to look at."""
        if self._timer is None and not self._is_stopped:
            self._due_s = self._loop.time() + self._interval_s
            self._timer = self._loop.call_at(self._due_s, self._turn)

    def watch_at_once(self) -> None:
        """As ``watch``, and the first look is now."""
        if self._timer is None and not self._is_stopped:
            self._turn()

    def stop(self) -> None:
        """Looks no more."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        if self._look():
            self.watch()

    @property
    @abc.abstractmethod
    def _interval_s(self) -> float:
        """From one look to the next."""

    @abc.abstractmethod
    def _look(self) -> bool:
        """Looks; whether there is something to look at again."""
