"""The state machines of the scheduler: one table each, none hidden in code.

    node      connected ──drain──▸ leaving       worker   new ──register──▸ idle
              connected, leaving ──leave──▸ left          idle ──lease──▸ busy ──empty──▸ idle
                                 ──lose───▸ lost          idle ──isolate─▸ alone ─empty──▸ idle
    job       queued ──start──▸ started                   idle, busy, alone ──revoke──▸ releasing
              queued, started ──end──▸ ended              releasing ──empty──▸ idle
                                                          releasing ──release─▸ busy
                                                          releasing ──isolate─▸ alone
    task      waiting ──lease──▸ leased                   any ──lose──▸ gone
              leased ──give_back──▸ waiting
              leased ──hand_over──▸ leased
              waiting, leased ──finish──▸ done ──forget──▸ forgotten
              waiting, leased, done ──cancel──▸ forgotten

A worker is *alone* with a task that may have killed a worker before: it gets nothing else until
that task has ended.  It is *releasing* while it still holds tasks that it has no lease for: their
job has ended or nobody wants them any more, another worker was first or has the lease, or nobody
has submitted them here yet.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

from midas_mp.errors import IllegalTransition

STORY_EVENTS_MAX: Final = 20


class NodeState(enum.StrEnum):
    CONNECTED = "connected"
    LEAVING = "leaving"
    LEFT = "left"
    LOST = "lost"


class WorkerState(enum.StrEnum):
    NEW = "new"
    IDLE = "idle"
    BUSY = "busy"
    ALONE = "alone"
    RELEASING = "releasing"
    GONE = "gone"


class JobState(enum.StrEnum):
    QUEUED = "queued"
    STARTED = "started"
    ENDED = "ended"


class TaskState(enum.StrEnum):
    WAITING = "waiting"
    LEASED = "leased"
    DONE = "done"
    FORGOTTEN = "forgotten"


_S = TypeVar("_S", bound=enum.StrEnum)
Table = Mapping[str, Mapping[_S, _S]]
"""trigger → state → next state; what is not listed is illegal."""

NODE: Final[Table[NodeState]] = {
    "drain": {NodeState.CONNECTED: NodeState.LEAVING},
    "leave": {NodeState.CONNECTED: NodeState.LEFT, NodeState.LEAVING: NodeState.LEFT},
    "lose": {NodeState.CONNECTED: NodeState.LOST, NodeState.LEAVING: NodeState.LOST},
}

WORKER: Final[Table[WorkerState]] = {
    "register": {WorkerState.NEW: WorkerState.IDLE},
    "lease": {WorkerState.IDLE: WorkerState.BUSY, WorkerState.BUSY: WorkerState.BUSY},
    "isolate": {
        WorkerState.IDLE: WorkerState.ALONE,
        WorkerState.RELEASING: WorkerState.ALONE,
    },
    "empty": {
        WorkerState.BUSY: WorkerState.IDLE,
        WorkerState.ALONE: WorkerState.IDLE,
        WorkerState.RELEASING: WorkerState.IDLE,
    },
    "revoke": {
        WorkerState.IDLE: WorkerState.RELEASING,
        WorkerState.BUSY: WorkerState.RELEASING,
        WorkerState.ALONE: WorkerState.RELEASING,
    },
    "release": {WorkerState.RELEASING: WorkerState.BUSY},
    "lose": {
        WorkerState.IDLE: WorkerState.GONE,
        WorkerState.BUSY: WorkerState.GONE,
        WorkerState.ALONE: WorkerState.GONE,
        WorkerState.RELEASING: WorkerState.GONE,
    },
}

JOB: Final[Table[JobState]] = {
    "start": {JobState.QUEUED: JobState.STARTED},
    "end": {JobState.QUEUED: JobState.ENDED, JobState.STARTED: JobState.ENDED},
}

TASK: Final[Table[TaskState]] = {
    "lease": {TaskState.WAITING: TaskState.LEASED},
    "give_back": {TaskState.LEASED: TaskState.WAITING},
    "hand_over": {TaskState.LEASED: TaskState.LEASED},
    "finish": {TaskState.WAITING: TaskState.DONE, TaskState.LEASED: TaskState.DONE},
    "forget": {TaskState.DONE: TaskState.FORGOTTEN},
    "cancel": {
        TaskState.WAITING: TaskState.FORGOTTEN,
        TaskState.LEASED: TaskState.FORGOTTEN,
        TaskState.DONE: TaskState.FORGOTTEN,
    },
}


class Story:
    """The last things that happened to one subject: tuples, made into text only when told."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: deque[tuple[float, str, object]] = deque(maxlen=STORY_EVENTS_MAX)

    def add(self, now: float, what: str, detail: object = "") -> None:
        self._events.append((now, what, detail))

    def tell(self) -> list[str]:
        return [f"{now:.3f} {what} {detail}".rstrip() for now, what, detail in self._events]


class Subject(Protocol[_S]):
    """Whatever has a state and a story: a node, a worker, a job."""

    state: _S

    @property
    def label(self) -> str: ...
    @property
    def story(self) -> Story: ...


def advance(
    subject: Subject[_S], table: Table[_S], trigger: str, now: float, detail: object = ""
) -> None:
    """Move ``subject`` along its table and note it in its story.

    Raises:
        IllegalTransition: the table has no entry; carries the story.
    """
    after = table[trigger].get(subject.state)
    if after is None:
        raise IllegalTransition(subject.label, subject.state.value, trigger, subject.story.tell())
    subject.state = after
    subject.story.add(now, trigger, detail)
