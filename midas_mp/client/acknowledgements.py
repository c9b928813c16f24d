"""What of a job's results is safe with the client, as its host is to hear it.

An acknowledgement is in no hurry: it goes along with the next tasks, which saves the host a turn
between every result and the task that follows it, or a moment later by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from midas_mp.wire.messages import Acknowledge

DELAY_S: Final = 0.002


class Acknowledgements:
    """Of one job.

    Args:
        job: its id.
        say: says one to the host, if it listens.
    """

    def __init__(self, job: str, say: Callable[[Acknowledge], None]) -> None:
        self._job = job
        self._say = say
        self._unsaid: list[Acknowledge] = []
        self._timer: asyncio.TimerHandle | None = None
        self._remembered: deque[Acknowledge] = deque()
        """The latest, for a host that may not have heard them."""
        self._remembered_tasks = 0

    def add(self, round_: int, indices: Sequence[int], *, credit_tasks: int) -> None:
        """These are safe; as many as ``credit_tasks`` are remembered, so none is forgotten that a
        host could still count.
        """
        message = Acknowledge(self._job, round_, list(indices))
        self._unsaid.append(message)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY_S, self._time_is_up)
        self._remembered.append(message)
        self._remembered_tasks += len(message.indices)
        oldest = self._remembered[0]
        while self._remembered_tasks - len(oldest.indices) >= max(1, credit_tasks):
            self._remembered_tasks -= len(oldest.indices)
            self._remembered.popleft()
            oldest = self._remembered[0]

    def flush(self) -> None:
        """Says what is unsaid: the host counts it before the tasks that follow."""
        if self._unsaid:
            unsaid, self._unsaid = self._unsaid, []
            for message in unsaid:
                self._say(message)

    def repeat(self) -> None:
        """Says all that is remembered, to a host that may know nothing of it."""
        self._unsaid = []
        for message in self._remembered:
            self._say(message)

    def drop(self) -> None:
        """The job is over: its host forgets all of it anyway."""
        self._unsaid = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        self.flush()
