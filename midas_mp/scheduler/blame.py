"""What is known against a task: which workers died at it, and what its client has heard of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midas_mp import limits

if TYPE_CHECKING:
    from midas_mp.scheduler.records import Worker


@dataclass(frozen=True, slots=True)
class Death:
    """How a worker died that was running a task."""

    worker: str
    attempt: int
    cause: str
    peak_bytes: int

    def __str__(self) -> str:
        peak = f"peak memory {self.peak_bytes / limits.MB:.0f} MB"
        return f"attempt {self.attempt} on {self.worker}: {self.cause}, {peak}"


class Blame:
    """What is known against a task whose workers died, or that failed and is tried again."""

    __slots__ = ("channel", "deaths", "failure_count", "node_id", "node_ids", "since")

    def __init__(self) -> None:
        self.deaths: list[Death] = []
        self.failure_count = 0
        """Failures that were not taken for its result."""
        self.node_ids: dict[str, None] = {}
        """Where that happened."""
        self.node_id = ""
        self.channel = 0
        """Where it did last: the next attempt is made elsewhere if there is an elsewhere."""
        self.since = 0.0

    def accuse(self, worker: Worker, now: float) -> None:
        """It happened with this worker."""
        self.node_id = worker.node.hello.node_id
        self.node_ids[self.node_id] = None
        self.channel = worker.channel
        self.since = now

    @property
    def count(self) -> int:
        return len(self.deaths)


class DeathNotices:
    """Which deaths of workers at a job's tasks its client has heard of."""

    __slots__ = ("due_at", "untold")

    def __init__(self) -> None:
        self.due_at = 0.0
        """When the next one may be told."""
        self.untold = 0
