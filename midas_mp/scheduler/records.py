"""What the scheduler remembers: nodes, workers, clients, jobs, tasks.

Plain records.  Who changes them: ``nodes`` and ``clients`` (joining and leaving), ``jobs`` (what
clients ask), ``placement`` (leases), ``results`` (ends), ``losses`` (leases that come back),
``cancelling`` (what nobody wants), ``copies`` (second runs), ``returning`` (nodes that come back);
all by way of ``leases``, which keeps the books.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from midas_mp import limits
from midas_mp.errors import IllegalTransition
from midas_mp.scheduler.backlog import BacklogRoom, PrintBacklog
from midas_mp.scheduler.blame import Blame, DeathNotices
from midas_mp.scheduler.bundles import JobBundles
from midas_mp.scheduler.estimate import Estimate
from midas_mp.scheduler.runs import Copy, PrintTally
from midas_mp.scheduler.shared_round import SharedRound
from midas_mp.scheduler.shelf import Shelf
from midas_mp.scheduler.standings import Standings
from midas_mp.scheduler.tables import JobState, NodeState, Story, TaskState, WorkerState
from midas_mp.scheduler.task_times import TaskTimes
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import CallForm, Hello, OpenJob, Outcome, TaskRef, WorkerUp


@dataclass(frozen=True, slots=True)
class Batch:
    """What the tasks of one call of the client share."""

    round: int
    count: int
    digest: str
    entry: str
    form: CallForm


TASK_BYTES: Final = 512
"""What a task weighs beside its payload."""


class Task:
    """One call.  Its story is its fields: which attempt, where, and ``Job.blames``."""

    __slots__ = (
        "attempt",
        "batch",
        "buffers",
        "doer",
        "index",
        "outcome",
        "size_bytes",
        "state",
        "worker",
    )

    def __init__(
        self, batch: Batch, index: int, attempt: int, buffers: Sequence[Buffer], size_bytes: int
    ) -> None:
        self.batch = batch
        self.index = index
        self.attempt = attempt
        self.buffers = buffers
        """The payload while the task is open; once it is done the result, until acknowledged.

        A tuple where there are many tasks: the garbage collector does not look at those of bytes.
        """
        self.size_bytes = size_bytes
        """Of the buffers."""
        self.outcome: Outcome | None = None
        """How it ended, once it is done."""
        self.doer = ""
        """The name of the worker whose result counted."""
        self.state = TaskState.WAITING
        self.worker: Worker | None = None
        """Who holds the lease."""

    @property
    def label(self) -> str:
        return f"task {self.index} of round {self.batch.round}"

    def tell(self) -> list[str]:
        holder = self.worker.name if self.worker is not None else "nobody"
        return [f"attempt {self.attempt}", f"held by {holder}"]


def advance_task(task: Task, row: Mapping[TaskState, TaskState], trigger: str) -> None:
    """Move a task along one row of ``tables.TASK``: as ``tables.advance``, for millions.

    Raises:
        IllegalTransition: the row has no entry for the task's state.
    """
    after = row.get(task.state)
    if after is None:
        raise IllegalTransition(task.label, task.state.value, trigger, task.tell())
    task.state = after


class Node:
    """One connected launcher."""

    __slots__ = (
        "awaited",
        "begun",
        "epoch",
        "estimates",
        "hello",
        "name",
        "peer",
        "permits",
        "seen",
        "state",
        "story",
        "workers",
    )

    def __init__(self, peer: int, hello: Hello, name: str, epoch: int) -> None:
        self.peer = peer
        self.hello = hello
        self.name = name
        self.epoch = epoch
        """Its connections to this host before this one."""
        self.state = NodeState.CONNECTED
        self.story = Story()
        self.workers: dict[int, Worker] = {}
        """By channel."""
        self.awaited = hello.workers_announced
        """Announced workers that have not been heard of yet."""
        self.seen: set[int] = set()
        """Channels that have been heard of."""
        self.permits = ""
        """What tasks may use there, as its workers say."""
        self.begun: dict[str, Shelf] = {}
        """Job ids that the launcher was told of, with the bundles it has."""
        self.estimates: dict[Job, Estimate] = {}
        """How long tasks take here, where there is another node to compare it with."""

    @property
    def label(self) -> str:
        return f"node {self.name}"

    @property
    def is_leaving(self) -> bool:
        """Whether it goes on purpose: what it did not finish is nobody's fault."""
        return self.state in (NodeState.LEAVING, NodeState.LEFT)


class Worker:
    """One registered worker process."""

    __slots__ = (
        "adopted",
        "asked_at",
        "channel",
        "engines",
        "epoch",
        "heard_at",
        "is_leaving",
        "is_paused",
        "is_recall_barred",
        "is_recalling",
        "lease_bytes",
        "lease_count",
        "leases",
        "name",
        "node",
        "orphans",
        "sandbox_level",
        "state",
        "story",
    )

    def __init__(self, node: Node, up: WorkerUp) -> None:
        self.node = node
        self.channel = up.channel
        self.name = up.name
        self.epoch = up.epoch
        self.engines = tuple(dict.fromkeys(up.engines))
        self.sandbox_level = up.sandbox_level
        self.state = WorkerState.NEW
        self.story = Story()
        self.leases: dict[Job, dict[Task, None]] = {}
        """In the order in which they were sent; no empty entries."""
        self.lease_count = 0
        self.lease_bytes = 0
        self.adopted: dict[Task, None] = {}
        """Leases of what it had in hand before: on an earlier connection, or as a copy."""
        self.orphans: dict[TaskRef, bool] = {}
        """Tasks that it still holds without a lease, and whether their results could count yet;
        it gets nothing new until they are gone."""
        self.heard_at = 0.0
        """When it last had a result, or work after having none."""
        self.is_leaving = False
        """With its node."""
        self.is_paused = False
        """It stands still, whatever it is at."""
        self.is_recalling = False
        """Asked for tasks back and has not answered."""
        self.asked_at = 0.0
        """When it was last asked."""
        self.is_recall_barred = False
        """Answered that it has nothing to give back; holds until its leases change."""

    @property
    def label(self) -> str:
        return f"worker {self.name}"

    @property
    def is_still(self) -> bool:
        """Whether it stands still: by itself, or with a job."""
        return self.is_paused or any(job.is_paused for job in self.leases)

    @property
    def has_suspect(self) -> bool:
        """Whether it is at a task that may have killed a worker."""
        return any(task in job.blames for job, tasks in self.leases.items() for task in tasks)


class Paused:
    """What somebody has told to stand still."""

    __slots__ = ("absent", "jobs", "seats")

    def __init__(self) -> None:
        self.absent: dict[str, str] = {}
        """Nodes that were lost while some of that concerned them: their names by their ids, first
        lost first."""
        self.seats: dict[tuple[str, int], str] = {}
        """Nodes and workers: their names by node id and channel, 0 for all of the node."""
        self.jobs: set[Job] = set()

    def __bool__(self) -> bool:
        return bool(self.seats or self.jobs)


class Killed:
    """What somebody has killed, which may not have heard it: why, by id, first killed first."""

    __slots__ = ("jobs", "nodes")

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.nodes: dict[str, str] = {}


class ClientRecord:
    """One client, connected or expected back."""

    __slots__ = ("jobs", "may_manage", "name", "node_id", "peer", "refused", "token")

    def __init__(self, peer: int, node_id: str, name: str) -> None:
        self.peer: int | None = peer
        """None while it is away."""
        self.node_id = node_id
        self.name = name
        self.token = ""
        """By which it came in; empty where it needed none."""
        self.may_manage = False
        """It may pause and kill what is not its own."""
        self.jobs: dict[str, Job] = {}
        self.refused: set[str] = set()
        """Job ids that were refused, or killed: what it says about them crossed that."""

    @property
    def label(self) -> str:
        return f"{self.name} (token {self.token})" if self.token else self.name


class BulkRecord:
    """The second connection of a launcher or a client; a client's may outlive the first."""

    __slots__ = ("node_id", "peer")

    def __init__(self, peer: int, node_id: str) -> None:
        self.peer = peer
        self.node_id = node_id


class Job:
    """One run, or one Executor."""

    __slots__ = (
        "away_until",
        "batch",
        "blames",
        "bundles",
        "client",
        "copies",
        "credit_max",
        "deaths",
        "done_count",
        "estimate",
        "forgotten_count",
        "fresh",
        "id",
        "is_paused",
        "leased_count",
        "notice_at",
        "opened_at",
        "peer",
        "printed",
        "prints",
        "returned",
        "rounds",
        "shared",
        "size_bytes",
        "spec",
        "standings",
        "start_at",
        "state",
        "story",
        "suspects",
        "task_count",
        "times",
        "title",
        "workers_min",
        "workers_reported",
    )

    def __init__(
        self, client: ClientRecord, message: OpenJob, room: BacklogRoom, now: float
    ) -> None:
        self.id = message.job
        self.client = client
        self.peer = client.peer
        """The connection on which its client has opened it; None while the client is away."""
        self.away_until: float | None = None
        """When a client that is away has been waited for long enough."""
        self.printed = PrintBacklog(room)
        """What its tasks print while the client is away."""
        self.title = message.title
        self.spec = message.spec
        self.workers_min = message.workers_min
        self.state = JobState.QUEUED
        self.is_paused = False
        """Nothing of it is leased, and who is at one of its tasks stands still."""
        self.story = Story()
        self.opened_at = now
        self.start_at: float | None = None
        """When the job starts with the workers there are; None while there are too few."""
        self.notice_at: float | None = None
        """When to say next that the job cannot go on; None while it can."""
        self.workers_reported = 0
        self.credit_max = 0
        """The most that was ever granted: a client may act on an older, larger figure."""
        self.bundles = JobBundles()
        """Those that its client has not dropped; that of every open task is among them."""
        self.batch: Batch | None = None
        """The last one made, shared by the frames that follow it."""
        self.rounds: dict[int, dict[int, Task]] = {}
        """Every task that is not acknowledged, by round and index."""
        self.shared: SharedRound | None = None
        self.fresh: deque[Task] = deque()
        """Waiting, never leased."""
        self.returned: OrderedDict[Task, None] = OrderedDict()
        """Waiting again; they go first."""
        self.suspects: dict[Task, None] = {}
        """Waiting for a worker of their own, because they may have killed one."""
        self.blames: dict[Task, Blame] = {}
        self.deaths = DeathNotices()
        self.standings = Standings()
        self.copies: dict[Task, dict[Worker, Copy]] = {}
        """Of leased tasks: who else is at them.  None at all: a copy killed its worker."""
        self.prints: dict[Task, PrintTally] = {}
        """Of leased tasks that printed something."""
        self.task_count = self.leased_count = self.done_count = self.forgotten_count = 0
        """Of tasks that are known, and of those that are done and safe with the client."""
        self.size_bytes = 0
        """Payloads of open tasks and results that are not acknowledged."""
        self.estimate = Estimate()
        self.times = TaskTimes() if message.spec.timeout_factor else None
        """Where what its tasks may take follows from what they take."""

    @property
    def label(self) -> str:
        return f"job {self.id}"

    def suits(self, worker: Worker) -> bool:
        """Whether the worker could run its tasks now."""
        return (
            self.spec.engine in worker.engines
            and (self.shared is None or worker.node in self.shared.holders)
            and not (
                self.standings.set_aside and worker.node.hello.node_id in self.standings.set_aside
            )
        )

    def estimate_on(self, node: Node) -> Estimate:
        """How long its tasks take there, as far as that is known."""
        return node.estimates.get(self, self.estimate)

    def task(self, round_: int, index: int) -> Task | None:
        tasks = self.rounds.get(round_)
        return tasks.get(index) if tasks is not None else None

    @property
    def kept_bytes(self) -> int:
        """What the host keeps of it while its client is away."""
        shared_bytes = self.shared.received_bytes if self.shared is not None else 0
        task_bytes = self.size_bytes + self.task_count * TASK_BYTES
        return task_bytes + shared_bytes + self.bundles.size_bytes

    @property
    def waiting_count(self) -> int:
        return len(self.fresh) + len(self.returned) + len(self.suspects)

    @property
    def lease_allowance(self) -> int:
        """How many of its waiting tasks may be leased now.

        A job over its bytes pauses until the client has acknowledged results.  Where there is
        nothing to acknowledge and nothing under way only a lease can free bytes, so one goes.
        """
        if self.size_bytes <= limits.CREDIT_BYTES:
            return self.waiting_count
        return 0 if self.leased_count or self.done_count else min(1, self.waiting_count)


def jobs_at(workers: Iterable[Worker]) -> list[Job]:
    """Those of which any of these workers has a task."""
    return list(dict.fromkeys(job for worker in workers for job in worker.leases))
