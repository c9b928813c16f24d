"""What a job shows of itself while it runs; the command line draws it, a program may ignore it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from midas_mp.errors import ScriptError


class View(Protocol):
    """Called in the event loop; must not block it for long."""

    def started(self, round_: int, count: int, workers: int) -> None:
        """A round begins, the first is 0, with so many tasks on so many workers."""

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        """A node has so much of what the round's tasks share; it runs none before it has all.

        With nothing of it: the node is gone.
        """

    def advanced(self, done: int, failed: int, ended: Sequence[int]) -> None:
        """So many tasks of the round have ended; so many of the job have failed.

        These are the indices of those that ended since the last time; none right after
        ``started``, where a journal says what an earlier run has done.
        """

    def printed(self, index: int, worker: str, text: bytes) -> None:
        """Text as the script made it, not safe for a terminal.

        worker is "" where the script's own process printed.
        """

    def progressed(self, index: int, fraction: float) -> None:
        """A task says how far it is."""

    def running(self, index: int, worker: str, elapsed_s: float) -> None:
        """A long task, named every few seconds while it runs."""

    def workers_changed(self, workers: int) -> None: ...

    def noticed(self, text: str) -> None:
        """A sentence for the user."""

    def task_failed(self, error: ScriptError) -> None:
        """A task failed and the job goes on."""
