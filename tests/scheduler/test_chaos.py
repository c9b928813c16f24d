"""A simulated cluster in which everything goes wrong at once, checked after every step.

No process, no socket and no clock: launchers, clients and their second connections live in this
file, keep the contracts that ``scheduler.nodes`` and ``scheduler.shared`` state, and lose each
other and the host as one seed will have it.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.scheduler import invariants
from midas_mp.scheduler.events import Event, PeerGreeted, PeerLost, Received, Transfer
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Acknowledge,
    BeginJob,
    Call,
    EndJob,
    FetchShared,
    Goodbye,
    Hello,
    JobSpec,
    OfferShared,
    OpenJob,
    Outcome,
    PutBundle,
    RecallTasks,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    Status,
    TaskRef,
    TaskResults,
    TasksReturned,
    WorkerDown,
    WorkerUp,
)

DIGEST = "d" * 64
SHARED = bytes(range(40))
PART_BYTES = 3
STOOD_STILL_S = 600.0
FAIR_REASONS = ("replaced", "Bye", "a bulk", "its first connection has ended")


class SimulatedWorker:
    def __init__(self, channel: int) -> None:
        self.channel = channel
        self.epoch = 0
        self.hand: deque[TaskRef] = deque()
        """What the process has; the first one runs."""
        self.queue: deque[TaskRef] = deque()

    def begin(self) -> None:
        while self.queue and len(self.hand) < 3:
            self.hand.append(self.queue.popleft())


class SimulatedPeer:
    """A connection on which nothing overtakes anything, and everything takes its time."""

    def __init__(self, number: int) -> None:
        self.node_id = f"{number:x}"
        self.peer: int | None = None
        self.inbox: deque[Frame] = deque()
        self.outbox: deque[Frame] = deque()

    def connected(self) -> None:
        raise NotImplementedError

    def hear(self) -> None:
        raise NotImplementedError


class SimulatedBulk(SimulatedPeer):
    """The second connection of a launcher or a client."""

    def __init__(self, owner: SimulatedLauncher | SimulatedClient) -> None:
        super().__init__(0)
        self.node_id = owner.node_id
        self.owner = owner

    def connected(self) -> None:
        self.owner.bulk_connected()

    def hear(self) -> None:
        _, message, buffers = self.inbox.popleft()
        if isinstance(message, SharedPart):
            assert isinstance(self.owner, SimulatedLauncher)
            self.owner.take_part(message, bytes(buffers[0]))


class SimulatedLauncher(SimulatedPeer):
    """Keeps the contract that ``midas_mp.scheduler.nodes`` states."""

    def __init__(self, number: int, worker_count: int) -> None:
        super().__init__(number)
        self.workers = [SimulatedWorker(channel) for channel in range(1, worker_count + 1)]
        self.known: dict[str, set[str]] = {}
        self.begun: set[tuple[str, str]] = set()
        """What this connection was told: jobs, and bundles of jobs."""
        self.shared: dict[str, bytes] = {}
        """What has come, by job."""
        self.bulk = SimulatedBulk(self)
        self.unspoken: list[Frame] = []
        """Results that ended while there was no connection."""

    def connected(self) -> None:
        self.inbox.clear()
        self.outbox.clear()
        for worker in self.workers:
            worker.queue.clear()
        held = {ref.job for worker in self.workers for ref in worker.hand}
        self.known = {job: self.known[job] for job in self.known if job in held}
        self.shared = {job: self.shared[job] for job in self.shared if job in held}
        self.begun = set()
        for worker in self.workers:
            self.say_up(worker)
        self.outbox.extend(self.unspoken)
        self.unspoken.clear()

    def bulk_connected(self) -> None:
        for job, data in self.shared.items():
            if len(data) < len(SHARED):
                self.bulk.outbox.append(Frame(0, FetchShared(job, 0, len(data))))

    def take_part(self, message: SharedPart, part: bytes) -> None:
        data = self.shared.get(message.job)
        if data is None or message.offset > len(data):
            return  # of a job that has ended, and may have been opened anew
        end = message.offset + len(part)
        self.shared[message.job] = data[: message.offset] + part + data[end:]
        self.say_held(message.job)

    def say_held(self, job: str) -> None:
        self.outbox.append(Frame(0, SharedHeld(job, 0, "", len(self.shared[job]))))

    def say_up(self, worker: SimulatedWorker) -> None:
        name = f"n{self.node_id}-{worker.channel}"
        held, engines = list(worker.hand), ["luajit", "5.4"]
        self.outbox.append(Frame(0, WorkerUp(worker.channel, name, worker.epoch, 3, engines, held)))

    def kill(self, worker: SimulatedWorker, *, named: bool) -> None:
        running = worker.hand[0] if named and worker.hand else None
        worker.hand.clear()
        worker.queue.clear()
        worker.epoch += 1
        if self.peer is not None:
            down = WorkerDown(worker.channel, worker.epoch - 1, "SIGKILL", running, 2**20)
            self.outbox.append(Frame(0, down))
            self.say_up(worker)

    def finish(self, worker: SimulatedWorker) -> None:
        ref = worker.hand.popleft()
        duration_us = (ref.index * 7919) % 90_000
        message = TaskResults(
            ref.job, ref.round, "", [Outcome(ref.index, 0, Status.OK, duration_us)]
        )
        frame = Frame(worker.channel, message, [b"%d" % ref.index])
        (self.outbox if self.peer is not None else self.unspoken).append(frame)

    def hear(self) -> None:
        channel, message, buffers = self.inbox.popleft()
        match message:
            case BeginJob(job=job):
                assert (job, "") not in self.begun, "begun twice"
                self.begun.add((job, ""))
                self.known.setdefault(job, set())
            case PutBundle(job=job, digest=digest):
                assert (job, digest) not in self.begun, "bundle sent twice"
                self.begun.add((job, digest))
                self.known[job].add(digest)
            case RunTasks(job=job):
                assert message.digest in self.known[job], "a task before its bundle"
                assert self.shared.get(job, SHARED) == SHARED, "a task before its data"
                assert 0 < len(message.calls) <= limits.TASKS_PER_FRAME_MAX
                assert len(buffers) == len(message.calls)
                self.workers[channel - 1].queue.extend(
                    TaskRef(job, message.round, call.index) for call in message.calls
                )
            case RecallTasks(count=count):
                queue = self.workers[channel - 1].queue
                back = [queue.pop() for _ in range(min(count, len(queue)))]
                self.outbox.append(Frame(channel, TasksReturned(back)))
            case OfferShared(job=job):
                data = self.shared.setdefault(job, b"")
                self.say_held(job)
                self.bulk.outbox.append(Frame(0, FetchShared(job, 0, len(data))))
            case EndJob(job=job):
                self.known.pop(job, None)
                self.shared.pop(job, None)
                self.begun -= {(job, ""), (job, DIGEST)}
                for worker in self.workers:
                    self.drop_job(worker, job)

    def drop_job(self, worker: SimulatedWorker, job: str) -> None:
        dropped = [ref for ref in worker.queue if ref.job == job]
        for ref in dropped:
            worker.queue.remove(ref)
        if dropped:
            self.outbox.append(Frame(worker.channel, TasksReturned(dropped)))
        if any(ref.job == job for ref in worker.hand):
            self.kill(worker, named=False)


class SimulatedClient(SimulatedPeer):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.open: dict[str, dict[str, Any]] = {}
        self.closed: list[str] = []
        """Jobs whose end the host may not know."""
        self.bulk = SimulatedBulk(self)

    def bulk_connected(self) -> None:
        """The host asks by itself for what is missing."""

    def open_job(self, job: str, task_count: int, engine: str, *, has_shared: bool) -> None:
        self.open[job] = {
            "left": list(range(task_count)),
            "count": task_count,
            "engine": engine,
            "has_shared": has_shared,
            "ends": Counter(),
            "is_resumed": False,
        }
        self.say_open(job)

    def say_open(self, job: str) -> None:
        engine = self.open[job]["engine"]
        self.outbox.append(Frame(0, OpenJob(job, "", JobSpec(engine=engine))))
        self.outbox.append(Frame(0, PutBundle(job, DIGEST, "main", []), [b""]))
        if self.open[job]["has_shared"]:
            self.outbox.append(Frame(0, OfferShared(job, 0, [len(SHARED)])))

    def connected(self) -> None:
        """Also when it comes back: what was submitted and did not come is submitted again."""
        self.inbox.clear()
        self.outbox.clear()
        self.outbox.extend(Frame(0, EndJob(job)) for job in self.closed)
        for name, job in self.open.items():
            self.say_open(name)
            job["is_resumed"] = True
            submitted = set(range(job["count"])) - set(job["left"]) - set(job["ends"])
            self.say_tasks(name, sorted(submitted))

    def submit(self, job: str, most: int) -> None:
        left = self.open[job]["left"]
        indices, left[:] = left[:most], left[most:]
        self.say_tasks(job, indices)

    def say_tasks(self, job: str, indices: list[int]) -> None:
        if indices:
            message = RunTasks(job, 0, 9, DIGEST, "f", [Call(index) for index in indices])
            self.outbox.append(Frame(0, message, [b"x"] * len(indices)))

    def end_job(self, job: str) -> None:
        del self.open[job]
        self.closed.append(job)
        self.outbox.append(Frame(0, EndJob(job)))

    def hear(self) -> None:
        _, message, buffers = self.inbox.popleft()
        if isinstance(message, FetchShared):
            for start in range(message.offset, len(SHARED), PART_BYTES):
                part = SharedPart(message.job, 0, start)
                self.bulk.outbox.append(Frame(0, part, [SHARED[start : start + PART_BYTES]]))
        if isinstance(message, TaskResults) and message.job in self.open:
            assert len(buffers) == len(message.outcomes)
            for outcome, buffer in zip(message.outcomes, buffers, strict=True):
                job = self.open[message.job]
                assert job["is_resumed"] or outcome.index not in job["ends"], "counted twice"
                job["ends"][outcome.index] = 1
                assert outcome.status is Status.FAILED or buffer == b"%d" % outcome.index
            done = [outcome.index for outcome in message.outcomes]
            self.outbox.append(Frame(0, Acknowledge(message.job, 0, done)))

    def is_content(self) -> bool:
        return all(len(job["ends"]) == job["count"] for job in self.open.values())


class Simulation:
    """One thread, one seed: joins, deaths, duplicates, late results, recalls, cancellations.

    Launchers, clients and the host itself lose each other and find each other again.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.scheduler = Scheduler()
        self.now = 0.0
        self.wake_at: float | None = None
        self.peer_count = 0
        self.peers: dict[int, SimulatedPeer] = {}
        self.launchers = [SimulatedLauncher(n, self.random.randint(1, 3)) for n in range(1, 4)]
        self.clients: list[SimulatedClient] = []
        self.job_count = 0

    # -- the world ---------------------------------------------------------------------------

    def step(self, *events: Event) -> None:
        ready = self.scheduler.step(events, self.now)
        invariants.check(self.scheduler.state)
        for peer, frames in ready.outbox:
            if peer in self.peers:
                self.peers[peer].inbox.extend(frames)
        for peer, reason in ready.drops:
            is_fair = reason.startswith(FAIR_REASONS) or "missing" in reason
            assert is_fair, f"somebody broke the rules: {reason}"
            self.cut(peer)
        for transfer in ready.transfers:
            self.stream(transfer)
        self.wake_at = ready.wake_at

    def stream(self, transfer: Transfer) -> None:
        data = b"".join(transfer.buffers)
        for start in range(transfer.offset, len(data), PART_BYTES):
            message = SharedPart(transfer.job, transfer.round, start)
            frame = Frame(0, message, [data[start : start + PART_BYTES]])
            self.peers[transfer.peer].inbox.append(frame)

    def connect(self, subject: SimulatedPeer, role: Role, workers: int = 0) -> None:
        self.peer_count += 1
        peer = self.peer_count
        hello = Hello(
            PROTOCOL_VERSION, role, "1", subject.node_id, "same", workers_announced=workers
        )
        old = subject.peer
        if isinstance(subject, SimulatedBulk) and isinstance(subject.owner, SimulatedLauncher):
            subject.outbox.clear()  # it asks anew for what it lacks
        subject.peer = peer
        self.peers[peer] = subject
        subject.connected()
        if old is not None:
            self.peers.pop(old, None)
        self.step(PeerGreeted(peer, hello))

    def cut(self, peer: int) -> None:
        subject = self.peers.pop(peer, None)
        if subject is not None and subject.peer == peer:
            subject.peer = None
            subject.inbox.clear()
            subject.outbox.clear()

    def deliver(self, subject: SimulatedPeer, most: int) -> None:
        """Bring some of what a peer has said to the scheduler, as one step."""
        if isinstance(subject, SimulatedBulk) and subject.peer is None:
            if subject.outbox and subject.owner.peer is not None:
                self.connect(subject, Role.BULK)
            return
        events: list[Event] = []
        while subject.peer is not None and subject.outbox and len(events) < most:
            events.append(Received(subject.peer, subject.outbox.popleft()))
        if events:
            self.step(*events)

    # -- what may happen ---------------------------------------------------------------------

    def some_launcher(self) -> SimulatedLauncher:
        return self.random.choice(self.launchers)

    def join(self) -> None:
        launcher = self.some_launcher()
        # Sometimes the scheduler does not know yet that the old connection is gone.
        if launcher.peer is None or self.random.random() < 0.1:
            self.connect(launcher, Role.LAUNCHER, len(launcher.workers))

    def leave(self) -> None:
        launcher = self.some_launcher()
        if launcher.peer is not None and self.random.random() < 0.3:
            peer = launcher.peer
            self.cut(peer)
            orderly = Received(peer, Frame(0, Goodbye("Bye")))
            self.step(orderly if self.random.random() < 0.5 else PeerLost(peer, "reset"))

    def kill(self) -> None:
        launcher = self.some_launcher()
        worker = self.random.choice(launcher.workers)
        launcher.kill(worker, named=self.random.random() < 0.7)

    def work(self) -> None:
        launcher = self.some_launcher()
        for worker in launcher.workers:
            worker.begin()
            if worker.hand and self.random.random() < 0.5:
                launcher.finish(worker)

    def repeat(self) -> None:
        """A result arrives twice."""
        launcher = self.some_launcher()
        results = [frame for frame in launcher.outbox if isinstance(frame.message, TaskResults)]
        if results:
            launcher.outbox.append(self.random.choice(results))

    def owners(self) -> list[SimulatedLauncher | SimulatedClient]:
        return [*self.launchers, *self.clients]

    def some_owner(self) -> SimulatedLauncher | SimulatedClient:
        return self.random.choice(self.owners())

    def some_bulk(self) -> SimulatedBulk:
        return self.some_owner().bulk

    def hear(self) -> None:
        for subject in (self.some_owner(), self.some_bulk()):
            for _ in range(min(len(subject.inbox), self.random.randint(1, 5))):
                subject.hear()

    def speak(self) -> None:
        for subject in (self.some_owner(), self.some_bulk()):
            self.deliver(subject, self.random.randint(1, 6))

    def arrive(self) -> None:
        if len(self.clients) < 3:
            client = SimulatedClient(100 + self.peer_count)
            self.clients.append(client)
            self.connect(client, Role.CLIENT)

    def open_job(self) -> None:
        if self.clients and self.job_count < 8:
            self.job_count += 1
            self.random.choice(self.clients).open_job(
                f"job{self.job_count}",
                self.random.randint(1, 60),
                self.random.choice(["luajit", "5.4"]),
                has_shared=self.random.random() < 0.5,
            )

    def submit(self) -> None:
        for client in self.clients:
            for job in client.open:
                client.submit(job, self.random.randint(0, 20))

    def cancel(self) -> None:
        for client in self.clients:
            if client.open and self.random.random() < 0.15:
                client.end_job(self.random.choice(list(client.open)))

    def vanish(self) -> None:
        if self.clients and self.random.random() < 0.03:
            client = self.clients.pop()
            peer = client.peer
            if peer is not None:
                self.cut(peer)
                self.step(PeerLost(peer, "gone"))

    def lose_client(self) -> None:
        if self.clients and self.random.random() < 0.3:
            client = self.random.choice(self.clients)
            peer = client.peer
            if peer is not None:
                self.cut(peer)
                self.step(PeerLost(peer, "reset"))

    def lose_bulk(self) -> None:
        bulk = self.some_bulk()
        if bulk.peer is not None:
            peer = bulk.peer
            self.cut(peer)
            self.step(PeerLost(peer, "reset"))

    def bring_client_back(self) -> None:
        if self.clients:
            client = self.random.choice(self.clients)
            if client.peer is None or self.random.random() < 0.1:
                self.connect(client, Role.CLIENT)

    def restart_host(self) -> None:
        if self.random.random() < 0.1:
            for peer in list(self.peers):
                self.cut(peer)
            self.scheduler = Scheduler()

    def pass_time(self) -> None:
        end = self.now + self.random.choice([0.001, 0.1, 3.0, 61.0, STOOD_STILL_S])
        while self.wake_at is not None and self.wake_at < end < self.now + STOOD_STILL_S:
            self.now = self.wake_at
            self.step()
        self.now = end
        self.step()

    # -- the two phases ----------------------------------------------------------------------

    def rage(self, moves: int) -> None:
        actions: list[Callable[[], None]] = [
            self.join,
            self.leave,
            self.kill,
            self.repeat,
            self.arrive,
            self.open_job,
            self.cancel,
            self.vanish,
            self.lose_client,
            self.bring_client_back,
            self.restart_host,
            self.lose_bulk,
            self.pass_time,
        ]
        usual: list[Callable[[], None]] = [self.work, self.hear, self.speak, self.submit]
        for _ in range(moves):
            self.random.choice(actions if self.random.random() < 0.3 else usual)()

    def calm(self) -> None:
        """No more faults: whatever is open must end."""
        if self.launchers[0].peer is None:
            self.connect(self.launchers[0], Role.LAUNCHER, len(self.launchers[0].workers))
        for client in self.clients:
            if client.peer is None:
                self.connect(client, Role.CLIENT)
        for _ in range(2_000):
            self.submit()
            self.work()
            everybody = [*self.owners(), *(owner.bulk for owner in self.owners())]
            for subject in everybody:
                while subject.inbox:
                    subject.hear()
                self.deliver(subject, 100)
            if all(client.is_content() for client in self.clients):
                return
            self.now += 0.05
            self.step()
        pytest.fail("some job never ended")


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_after_any_chaos_every_task_ends_exactly_once(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.rage(400)
    simulation.calm()
    for client in simulation.clients:
        for job in client.open.values():
            assert job["ends"] == Counter(range(job["count"]))
