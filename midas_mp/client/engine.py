"""What can run tasks for somebody: the only thing that the driver knows of a cluster.

A ``Client`` of a Midas host is one engine.  Calls go in and come back in batches, because a
future for every call costs more than the call.
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

    def workers_changed(self, workers: int) -> None: ...

    def noticed(self, text: str) -> None:
        """A sentence for the user, such as that there are no workers."""

    def job_lost(self, error: MidasError) -> None:
        """Nothing more will come."""


class EngineJob(Protocol):
    """One open job."""

    @property
    def id(self) -> str: ...

    async def wait_started(self) -> int:
        """The number of workers that the job starts with."""

    async def submit(self, order: RunTasks, buffers: Sequence[Buffer]) -> None:
        """Hands over a batch of calls, when there is credit for it."""

    def acknowledge(self, round_: int, indices: Sequence[int]) -> None:
        """The results of these are safe with the caller."""

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
