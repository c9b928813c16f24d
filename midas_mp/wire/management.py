"""What people ask of a host, and what it has its nodes do about it."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta, Struct

from midas_mp.wire.messages import Count, Message, Name, Text


class ListNodes(Message, frozen=True, tag=14):
    """Client → host: which nodes are there?"""


class NodeReport(Struct, frozen=True, array_like=True, gc=False):
    """A launcher and its workers, for people."""

    name: Name
    release: Annotated[str, Meta(max_length=64)]
    workers: Count
    """Registered."""
    busy: Count
    """Of those, how many have tasks."""
    sandbox_level: Annotated[int, Meta(ge=0, le=3)]
    """The lowest of theirs."""
    engines: list[Name]
    """That all of them have."""
    permits: Annotated[str, Meta(max_length=512)]
    """As in ``WorkerUp``."""
    paused: Count = 0
    """Of the registered ones, how many somebody has paused, or the node with them."""


class NodesListed(Message, frozen=True, tag=15):
    """Host → client: the answer to ``ListNodes``, in parts."""

    nodes: list[NodeReport]
    is_last: bool


class ListJobs(Message, frozen=True, tag=72):
    """Client → host: which jobs are there?"""


class JobReport(Struct, frozen=True, array_like=True, gc=False):
    """A job, whosever it is, for people."""

    job: Name
    title: Annotated[str, Meta(max_length=256)]
    client: Name
    state: Name
    """``queued``, ``started`` or ``paused``."""
    waiting: Count
    leased: Count
    done: Count
    """In all, as far as this host knows."""


class JobsListed(Message, frozen=True, tag=73):
    """Host → client: the answer to ``ListJobs``, in parts."""

    jobs: list[JobReport]
    is_last: bool


class Action(enum.IntEnum):
    """What somebody wants of a job, a node or a worker."""

    PAUSE = 0
    """That it stands still, in the middle of whatever it is at."""
    RESUME = 1
    """That it goes on."""
    KILL = 2
    """That it ends at once: a job and a node for good, a worker to be replaced."""


class ControlResult(enum.IntEnum):
    """What became of it."""

    DONE = 0
    UNKNOWN = 1
    """Nothing is called so."""
    FORBIDDEN = 2
    """Who asked may not have that done."""


class Control(Message, frozen=True, tag=76):
    """Client → host: do that to a job, a node or a worker.

    Whoever came in by a token may have that done to jobs that were opened with the same token; to
    all else only if it is one for operators.
    """

    action: Action
    target: Annotated[str, Meta(min_length=1, max_length=128)]
    """The id of a job, or the name of a node or a worker."""


class ControlAnswered(Message, frozen=True, tag=77):
    """Host → client: what became of ``Control``."""

    result: ControlResult
    sentence: Text


class PauseJob(Message, frozen=True, tag=74):
    """Host → launcher: workers that are at this job stand still, or go on.

    What waits behind them is handed back with ``TasksReturned``.  The next host knows of no pause.
    """

    job: Name
    is_paused: bool


class PauseWorker(Message, frozen=True, tag=75):
    """Host → launcher, on the worker's channel: likewise, whatever it is at."""

    is_paused: bool


class KillWorker(Message, frozen=True, tag=78):
    """Host → launcher, on the worker's channel: end this process now, whatever it is at.

    ``WorkerDown`` answers it, and blames nothing; another process takes the place.
    """

    epoch: Count
    """Of the process that is meant; the next one on its channel is not."""
    reason: Text
