"""What the scheduler remembers of jobs that a host before this one began; see ``returning``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from midas_mp.scheduler.backlog import BacklogRoom, PrintBacklog
from midas_mp.scheduler.records import Node, Worker
from midas_mp.wire import framing
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Outcome

EARLY_OVERHEAD_BYTES: Final = 256
"""What an early result weighs beside its payload, so that empty ones count too."""


class EarlyResult(NamedTuple):
    """The result of a task that nobody has submitted here yet."""

    outcome: Outcome
    doer: str
    buffers: Sequence[Buffer]

    @property
    def size_bytes(self) -> int:
        """Of the payload, and of what is kept beside it."""
        return framing.size_bytes(self.buffers) + EARLY_OVERHEAD_BYTES


class StrayJob:
    """What nodes brought of a job that was begun by a host before this one."""

    __slots__ = ("early", "held", "id", "nodes", "printed", "until")

    def __init__(self, job_id: str, room: BacklogRoom) -> None:
        self.id = job_id
        self.until: float | None = None
        """How long it is kept for a client that does not claim it; None is for ever."""
        self.nodes: dict[Node, None] = {}
        """Nodes that know the job."""
        self.held: dict[tuple[int, int], Worker] = {}
        """Who has it in hand, by round and index; an orphan of that worker."""
        self.early: dict[tuple[int, int], EarlyResult] = {}
        """By round and index."""
        self.printed = PrintBacklog(room)
        """What its tasks printed before a client opened it here."""
