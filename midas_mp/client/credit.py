"""How much of a job may be at its host at a time, in tasks and in bytes."""

from __future__ import annotations


class Credit:
    """Of one job.

    Attributes:
        tasks_max: the most that was ever granted, in tasks.
    """

    def __init__(self) -> None:
        self.tasks_max = 0
        self._tasks = 0
        self._bytes = 0
        self._charged_tasks = 0
        self._charged_bytes = 0

    @property
    def room(self) -> int:
        """How many more tasks there may be."""
        return self._tasks - self._charged_tasks

    def allows(self, tasks: int) -> bool:
        """Whether so many more may go now; a task larger than all credit goes alone."""
        if not self._charged_tasks:
            return self._tasks > 0
        return self.room >= tasks and self._charged_bytes < self._bytes

    def grant(self, tasks: int, size_bytes: int | None = None) -> None:
        """The host says what it takes; the bytes only at first."""
        self._tasks = tasks
        self.tasks_max = max(self.tasks_max, tasks)
        if size_bytes is not None:
            self._bytes = size_bytes

    def charge(self, tasks: int, size_bytes: int) -> None:
        self._charged_tasks += tasks
        self._charged_bytes += size_bytes

    def refund(self, tasks: int, size_bytes: int) -> None:
        self.charge(-tasks, -size_bytes)

    def clear(self) -> None:
        """Nothing is granted and nothing charged: the connection is gone."""
        self._tasks = self._charged_tasks = self._charged_bytes = 0
