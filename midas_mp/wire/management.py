"""What people ask of a host, and what it has its nodes do about it."""

from __future__ import annotations

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
    """Tasks whose results are there and not acknowledged."""


class JobsListed(Message, frozen=True, tag=73):
    """Host → client: the answer to ``ListJobs``, in parts."""

    jobs: list[JobReport]
    is_last: bool


class AskPause(Message, frozen=True, tag=70):
    """Client → host: have a job, a node or a worker stand still, or go on."""

    target: Annotated[str, Meta(min_length=1, max_length=128)]
    """The id of a job, or the name of a node or a worker."""
    is_paused: bool


class PauseAnswered(Message, frozen=True, tag=71):
    """Host → client: what became of ``AskPause``."""

    is_done: bool
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
