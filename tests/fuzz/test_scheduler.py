"""Peers who say what they like, in good form: the host stays sound, and offends nobody."""

from __future__ import annotations

import msgspec

from midas_mp import limits
from midas_mp.errors import ProtocolError
from midas_mp.scheduler import invariants
from midas_mp.scheduler.events import PeerGreeted, PeerLost, Received
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.scheduler.tables import TaskState
from midas_mp.testing.forgery import DIGESTS, JOBS, bent, forged, forged_word
from midas_mp.wire.conversation import Conversation, refusal
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, FrameDecoder, encode, encode_all
from midas_mp.wire.management import Action, Control
from midas_mp.wire.messages import (
    Acknowledge,
    Call,
    CancelTasks,
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

EVENTS = 80
ROLES = (Role.LAUNCHER, Role.LAUNCHER, Role.CLIENT, Role.CLIENT, Role.BULK)
PAUSES_S = (*(0.0, 0.001) * 10, 0.5, 6.0, 12.0, limits.CLIENT_PATIENCE_S + 1)

TIMES_US = (1, 1_000, 10_000_000, 2**53)


class Peer:
    """One connection, both of its ends."""

    def __init__(self, hello):
        self.role = hello.role
        self.node_id = hello.node_id
        self.here = Conversation(Role.HOST, None)
        self.there = Conversation(hello.role, Role.HOST)
        greeting = Frame(CONTROL_CHANNEL, hello)
        self.there.sending(greeting)
        self._from_host = FrameDecoder(self.there)
        self.say(greeting)

    def say(self, frame):
        """What of it reaches the host's mind."""
        heard = FrameDecoder(self.here).feed(b"".join(encode(frame)))
        if self.there.may_speak:  # what it says after its goodbye is not honest
            self.there.sending(frame)
        return heard

    def hear(self, frames):
        """Whatever the host says can be said, and must not offend an honest peer."""
        for frame in frames:
            self.here.sending(frame)
        self._from_host.feed(b"".join(encode_all(frames)))


class Crowd:
    """A scheduler, and whoever talks to it."""

    def __init__(self, rng):
        self.rng = rng
        self.scheduler = Scheduler(release="1.2.3")
        self.state = self.scheduler.state
        self.now = 100.0
        self.peers = {}
        self.peer_last = 0

    def event(self):
        if len(self.peers) < 2 or self.rng.happens(0.04):
            return self.greet()
        number = self.rng.choice(list(self.peers))
        if self.rng.happens(0.01):
            del self.peers[number]
            return [PeerLost(number, "connection reset")]
        frame = self.word(number, self.peers[number].role)
        try:
            heard = self.peers[number].say(frame)
        except ProtocolError:
            return []  # its connection would end here, if it did not know better
        return [Received(number, frame) for frame in heard if type(frame.message) is not Hello]

    def greet(self):
        hello = forged(self.rng, Hello)
        role = self.rng.choice(ROLES)
        if role is not Role.BULK and self.rng.happens(0.8):
            fresh = f"{self.peer_last:04x}"
            hello = msgspec.structs.replace(hello, node_id=fresh, name=f"{role.value}-{fresh}")
        elif self.peers:
            whose = self.rng.choice(list(self.peers.values())).node_id
            hello = msgspec.structs.replace(hello, node_id=whose)
        hello = msgspec.structs.replace(hello, role=role)
        if refusal(hello) is not None:
            return []
        self.peer_last += 1
        self.peers[self.peer_last] = Peer(hello)
        token, may_manage = self.rng.choice([("", True), ("t1", False), ("t2", False)])
        return [PeerGreeted(self.peer_last, hello, token, may_manage)]

    def word(self, number, role):
        """Half of what is said makes sense, or would if one field were not wrong."""
        if role is Role.CLIENT and self.rng.happens(0.03):
            return Frame(CONTROL_CHANNEL, self.control())
        apt = {Role.LAUNCHER: self.of_launcher, Role.CLIENT: self.of_client}
        if role in apt and self.rng.happens(0.75):
            frame = apt[role](number)
            if frame is not None:
                if self.rng.happens(0.15):
                    frame = frame._replace(message=bent(self.rng, frame.message))
                return frame
        return forged_word(self.rng, role, Role.HOST)

    def of_launcher(self, number):
        node = self.state.nodes.get(number)
        if node is None:
            return None
        channel = self.rng.randint(1, 3)
        worker = node.workers.get(channel)
        if worker is None:
            up = WorkerUp(channel, f"{node.name}-{channel}", self.rng.randrange(2), 3, ["luajit"])
            return Frame(CONTROL_CHANNEL, up)
        leases = [(job, task) for job, tasks in worker.leases.items() for task in tasks]
        if self.rng.happens(0.1):
            down = WorkerDown(channel, worker.epoch, "killed by SIGKILL")
            if leases:
                job, task = leases[0]
                ref = TaskRef(job.id, task.batch.round, task.index)
                down = msgspec.structs.replace(down, running=ref)
            return Frame(CONTROL_CHANNEL, down)
        orphans = list(worker.orphans)
        if orphans and self.rng.happens(0.5):
            return Frame(channel, TasksReturned(orphans[:2]))
        for job, task in leases:
            outcome = Outcome(task.index, task.attempt, Status.OK, self.rng.choice(TIMES_US))
            results = TaskResults(job.id, task.batch.round, worker.label, [outcome])
            return Frame(channel, results, [b"result"])
        return None

    def of_client(self, number):
        client = self.state.clients.get(number)
        if client is None:
            return None
        name = self.rng.choice(JOBS)
        job = client.jobs.get(name)
        if job is None or job.peer is None:
            return Frame(CONTROL_CHANNEL, OpenJob(name, "sums", JobSpec()))
        if not job.bundles.frames:
            put = PutBundle(name, self.rng.choice(DIGESTS), "main.lua", [])
            return Frame(CONTROL_CHANNEL, put, [b"return 1"])
        done = [
            (round_, index)
            for round_, tasks in job.rounds.items()
            for index, task in tasks.items()
            if task.state is TaskState.DONE
        ]
        if done and self.rng.happens(0.5):
            round_, index = self.rng.choice(done)
            return Frame(CONTROL_CHANNEL, Acknowledge(name, round_, [index]))
        if done and self.rng.happens(0.2):
            return Frame(CONTROL_CHANNEL, CancelTasks(name, *done[0][:1], [*range(3)]))
        digest = self.rng.choice(list(job.bundles.frames))
        calls = [self.call() for _ in range(self.rng.choice((1, 1, 3, 30)))]
        tasks = RunTasks(name, self.rng.choice((0, 0, 1)), 40, digest, "execute_code", calls)
        return Frame(CONTROL_CHANNEL, tasks, [b"payload"] * len(calls))

    def control(self):
        """Jobs are killed seldom: those that were, of a few names, are not opened again."""
        nodes = list(self.state.nodes.values())
        names = [node.name for node in nodes]
        names += [worker.name for node in nodes for worker in node.workers.values()]
        action = self.rng.choice(list(Action))
        if action is not Action.KILL or self.rng.happens(0.1):
            names += list(self.state.jobs)
        return Control(action, self.rng.choice(names or ["nobody"]))

    def call(self):
        return Call(self.rng.randrange(40), self.rng.choice((0, 0, 0, 2**53)))

    def step(self, events):
        self.now += self.rng.choice(PAUSES_S)
        ready = self.scheduler.step(events, self.now)
        invariants.check(self.state)
        assert ready.wake_at is None or ready.wake_at > self.now
        for number, frames in ready.outbox:
            if number in self.peers:
                self.peers[number].hear(frames)
        for transfer in ready.transfers:
            assert transfer.offset < sum(map(len, transfer.buffers))
        for number, _ in ready.drops:
            self.peers.pop(number, None)


def test_no_crowd_of_liars_confuses_the_host(fuzz):
    def case(rng):
        crowd = Crowd(rng)
        for _ in range(EVENTS):
            events = []
            for _ in range(rng.choice((1, 1, 1, 4))):
                events += crowd.event()
            crowd.step(events)

    fuzz.run(case, 120)
