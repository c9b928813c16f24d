"""What can run tasks for somebody: the only thing that the driver knows of a cluster.

A ``Client`` of a Midas host is one engine.  Calls go in and come back in batches, because a
future for every call costs more than the call.  An engine that loses its cluster for a while
says so, and delivers each result once all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from midas_mp.errors import MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import JobSpec, RunTasks, TaskResults


class JobObserver(Protocol):
    """Who is told what happens in a job; called in the event loop, must not block it."""

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        """Each task arrives here exactly once; acknowledge it when its result is safe."""

    def task_printed(self, index: int, worker: str, text: bytes) -> None: ...

    def task_progressed(self, index: int, fraction: float) -> None: ...

    def task_running(self, index: int, worker: str, elapsed_s: float) -> None:
        """A long task, named every few seconds while it runs."""

    def workers_changed(self, workers: int) -> None: ...

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        """A node has so much of the present round's shared data; with all of it, it runs tasks.

        With nothing of it: the node is gone.
        """

    def noticed(self, text: str) -> None:
        """A sentence for the user: there are no workers, or the host is gone and looked for."""

    def job_lost(self, error: MidasError) -> None:
        """Nothing more will come."""


class EngineJob(Protocol):
    """One open job."""

    @property
    def id(self) -> str: ...

    async def wait_started(self) -> int:
        """The number of workers that the job starts with."""

    async def submit(
        self, order: RunTasks, buffers: Sequence[Buffer], bundle: Bundle | None = None
    ) -> None:
        """Hands over a batch of calls, when there is credit for it and room for their bundle.

        Args:
            order: the calls.
            buffers: their payloads.
            bundle: theirs, each time where there are more than the one that the job was opened
                with: the engine keeps those of open tasks, and of others only as many as it has
                room for.
        """

    def share(self, round_: int, buffers: Sequence[Buffer]) -> None:
        """What all tasks of a round share, before the first of them is submitted.

        It travels in the background, once to each node, and takes the place of what an earlier
        round shared.  The buffers stay as they are until the job is closed or shares anew.
        """

    def acknowledge(self, round_: int, indices: Sequence[int]) -> None:
        """The results of these are safe with the caller."""

    def cancel(self, round_: int, indices: Sequence[int]) -> None:
        """Nobody wants these any more, not even those that run: no result of them arrives now.

        Those that still wait in ``submit`` will not be submitted; those whose results have arrived,
        and unknown ones, are left alone.  A cancelled task may not be submitted again.  What it
        took of the credit is free once the engine lets go of it.
        """

    def close(self, reason: str = "") -> None:
        """Ends the job; what still runs is stopped.  Idempotent."""


class Engine(Protocol):
    """Something that runs calls of Lua functions."""

    def open_job(
        self,
        title: str,
        spec: JobSpec,
        bundle: Bundle,
        observer: JobObserver,
        *,
        workers_min: int = 1,
    ) -> EngineJob: ...
