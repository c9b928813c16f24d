"""A cluster for the scheduler's tests: real messages, a clock that stands, invariants always."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

from midas_mp.scheduler import invariants
from midas_mp.scheduler.events import Event, PeerGreeted, PeerLost, Ready, Received
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    Call,
    Hello,
    JobSpec,
    OpenJob,
    Outcome,
    PutBundle,
    Role,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)
from midas_mp.wire.vocabulary import AnyMessage

DIGEST = "d" * 64
M = TypeVar("M")


class Cluster:
    """One scheduler, and what its peers say and hear."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(release="1.2.3")
        self.state = self.scheduler.state
        self.now = 100.0
        self.ready = Ready()
        self.heard: dict[int, list[Frame]] = {}
        """Everything sent to each peer since it was last read."""
        self.notices: list[str] = []
        self.dropped: dict[int, str] = {}
        self._peers = itertools.count(1)

    # -- the door ----------------------------------------------------------------------------

    def step(self, *events: Event) -> Ready:
        self.ready = self.scheduler.step(events, self.now)
        invariants.check(self.state)
        assert self.ready.wake_at is None or self.ready.wake_at > self.now
        peers = [peer for peer, _ in self.ready.outbox]
        assert len(set(peers)) == len(peers)
        for peer, frames in self.ready.outbox:
            self.heard.setdefault(peer, []).extend(frames)
        self.notices += self.ready.notices
        self.dropped.update(self.ready.drops)
        return self.ready

    def wait(self, seconds: float) -> Ready:
        """Time goes by, and the host wakes whenever it wanted to."""
        end = self.now + seconds
        while self.ready.wake_at is not None and self.ready.wake_at < end:
            self.now = self.ready.wake_at
            self.step()
        return self.stand_still(end - self.now)

    def stand_still(self, seconds: float) -> Ready:
        """Time goes by, and the host does not look."""
        self.now += seconds
        return self.step()

    def say(
        self, peer: int, message: AnyMessage, buffers: list[Buffer] | None = None, channel: int = 0
    ) -> Ready:
        return self.step(Received(peer, Frame(channel, message, buffers or [])))

    def read(self, peer: int) -> list[AnyMessage]:
        """What was sent to the peer since the last call."""
        return [frame.message for frame in self.heard.pop(peer, [])]

    def read_only(self, peer: int, kind: type[M]) -> list[M]:
        return [message for message in self.read(peer) if isinstance(message, kind)]

    # -- peers -------------------------------------------------------------------------------

    def greet(self, role: Role = Role.LAUNCHER, **fields: Any) -> int:
        peer = next(self._peers)
        greeting: dict[str, Any] = {
            "protocol": PROTOCOL_VERSION,
            "role": role,
            "release": "1.2.3",
            "node_id": f"{peer:x}",
            "name": f"{role.value}{peer}",
        } | fields
        self.step(PeerGreeted(peer, Hello(**greeting)))
        return peer

    def node(self, workers: int = 1, **fields: Any) -> int:
        """A launcher whose announced workers are registered on channels 1…n."""
        peer = self.greet(Role.LAUNCHER, workers_announced=workers, **fields)
        for channel in range(1, workers + 1):
            self.up(peer, channel)
        return peer

    def client(self, **fields: Any) -> int:
        return self.greet(Role.CLIENT, **fields)

    def lose(self, peer: int) -> Ready:
        return self.step(PeerLost(peer, "connection reset"))

    def up(
        self,
        peer: int,
        channel: int = 1,
        epoch: int = 0,
        engines: tuple[str, ...] = ("luajit",),
        held: Sequence[TaskRef] = (),
    ) -> Ready:
        name = f"{self.state.nodes[peer].name}-{channel:03}"
        return self.say(peer, WorkerUp(channel, name, epoch, 3, list(engines), list(held)))

    def down(
        self, peer: int, channel: int = 1, epoch: int = 0, running: TaskRef | None = None
    ) -> Ready:
        return self.say(peer, WorkerDown(channel, epoch, "killed by SIGKILL", running, 50 * 2**20))

    # -- jobs --------------------------------------------------------------------------------

    def open(
        self, client: int, job: str = "job", *, engine: str = "luajit", workers_min: int = 1
    ) -> str:
        """A job with one bundle."""
        self.say(client, OpenJob(job, "primes", JobSpec(engine=engine), workers_min))
        self.say(client, PutBundle(job, DIGEST, "main.lua", []), [b"-- lua"])
        return job

    def submit(
        self,
        client: int,
        job: str,
        indices: Any,
        *,
        round_: int = 0,
        payload: bytes = b"payload",
        digest: str = DIGEST,
    ) -> Ready:
        if digest != DIGEST:
            self.say(client, PutBundle(job, digest, "other.lua", []), [b"-- lua"])
        calls = [Call(index) for index in indices]
        message = RunTasks(job, round_, 100, digest, "execute_code", calls)
        return self.say(client, message, [payload] * len(calls))

    def leased(self, peer: int, channel: int = 1) -> list[TaskRef]:
        """What the scheduler believes the worker to hold, oldest first."""
        worker = self.state.nodes[peer].workers[channel]
        return [
            TaskRef(job.id, task.batch.round, task.index)
            for job, tasks in worker.leases.items()
            for task in tasks
        ]

    def finish(
        self,
        peer: int,
        channel: int,
        *refs: TaskRef,
        duration_us: int = 1_000,
        result: bytes = b"result",
        status: Status = Status.OK,
    ) -> Ready:
        """Report results, of one job and round."""
        outcomes = [Outcome(ref.index, 0, status, duration_us) for ref in refs]
        message = TaskResults(refs[0].job, refs[0].round, "whoever", outcomes)
        return self.say(peer, message, [result] * len(refs), channel)

    def give_back(self, peer: int, channel: int, *refs: TaskRef) -> Ready:
        return self.say(peer, TasksReturned(list(refs)), channel=channel)

    def acknowledge(self, client: int, job: str, *indices: int, round_: int = 0) -> Ready:
        return self.say(client, Acknowledge(job, round_, list(indices)))

    def learn(self, client: int, peer: int, duration_us: int, job: str = "job") -> None:
        """Let worker 1 of an otherwise idle cluster measure one task of a round of its own."""
        self.submit(client, job, [0], round_=9)
        (holder,) = [
            (node, channel)
            for node in self.state.nodes
            for channel in self.state.nodes[node].workers
            if self.leased(node, channel)
        ]
        self.finish(*holder, TaskRef(job, 9, 0), duration_us=duration_us)
        self.acknowledge(client, job, 0, round_=9)
        self.heard.clear()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()
