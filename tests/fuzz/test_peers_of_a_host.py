"""A host that says what it likes, in good form: nodes and clients end the connection, and go on."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import pytest

from midas_mp.client.client import Client
from midas_mp.errors import MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.participant.launcher import Launcher
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.testing.connection import Site
from midas_mp.testing.forgery import bent, forged_word
from midas_mp.testing.orders import Orders, encode
from midas_mp.testing.processes import Ground, SimulatedSupervisor
from midas_mp.testing.trace import Trace
from midas_mp.testing.virtual_time import VirtualTimeLoop
from midas_mp.transport import memory
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    Call,
    FetchShared,
    JobOpened,
    JobSpec,
    JobStarted,
    OfferShared,
    OpenJob,
    Outcome,
    PutBundle,
    Role,
    RunTasks,
    Status,
    TaskResults,
    Welcome,
    WorkerUp,
)

BUNDLE = Bundle.from_sources("job.lua", [], [b"return 1"])
CONNECTIONS = 4
WORDS = 25
PAUSES_S = (0.0, 0.0, 0.0, 0.001, 0.1, 3.0)


class Deaf(Conversation):
    """Takes offence at nothing, and remembers what matters."""

    def receive(self, frame):
        with contextlib.suppress(MidasError):
            super().receive(frame)

    def sending(self, frame):
        with contextlib.suppress(MidasError):
            super().sending(frame)


class LyingHost:
    """One connection as the host has it; answers so that it is believed, and then lies."""

    def __init__(self, rng, role):
        self.rng = rng
        self.role = role
        self.heard = []
        self.is_lost = False

    def frames_received(self, link, frames):
        self.heard += frames

    def link_lost(self, link, error):
        self.is_lost = True

    async def talk(self, link):
        rng = self.rng
        link.send([Frame(CONTROL_CHANNEL, Welcome(PROTOCOL_VERSION, "1", "you", 0))])
        for _ in range(WORDS):
            await asyncio.sleep(rng.choice(PAUSES_S))
            if self.is_lost:
                return
            frame = self.apt() if rng.happens(0.6) else forged_word(rng, Role.HOST, self.role)
            if rng.happens(0.15):
                frame = frame._replace(message=bent(rng, frame.message))
            link.send([self.dressed(frame)])
        link.abort()

    def dressed(self, frame):
        """Simulated processes take payloads of their own only."""
        message = frame.message
        if self.role is not Role.LAUNCHER or not isinstance(message, RunTasks):
            return frame
        seconds = self.rng.choice((0.0, 0.001, 20.0))
        orders = [Orders("t", message.round, call.index, seconds) for call in message.calls]
        calls = [Call(call.index, call.attempt) for call in message.calls]
        changed = msgspec.structs.replace(message, calls=calls)
        return frame._replace(message=changed, buffers=list(map(encode, orders)))

    def apt(self):
        of_role = {Role.LAUNCHER: self.to_launcher, Role.CLIENT: self.to_client}
        return of_role.get(self.role, lambda: forged_word(self.rng, Role.HOST, self.role))()

    def to_launcher(self):
        rng = self.rng
        job = rng.choice(("job-a", "job-b"))
        workers = [f.message for f in self.heard if isinstance(f.message, WorkerUp)]
        match rng.randrange(5):
            case 0:
                return Frame(CONTROL_CHANNEL, BeginJob(job, JobSpec()))
            case 1:
                put = PutBundle(job, BUNDLE.digest, "job.lua", [])
                return Frame(CONTROL_CHANNEL, put, [b"return 1"])
            case 2 if rng.happens(0.3):
                return Frame(CONTROL_CHANNEL, OfferShared(job, 0, [5]))
            case _:
                up = rng.choice(workers) if workers else None
                channel, epoch = (up.channel, up.epoch) if up else (1, 0)
                calls = [Call(rng.randrange(9)) for _ in range(rng.choice((1, 3)))]
                tasks = RunTasks(job, 0, 9, BUNDLE.digest, "execute_code", calls, epoch=epoch)
                return Frame(channel, tasks, [b"\xc0"] * len(calls))

    def to_client(self):
        rng = self.rng
        jobs = [f.message.job for f in self.heard if isinstance(f.message, OpenJob)]
        orders = [f.message for f in self.heard if isinstance(f.message, RunTasks)]
        job = rng.choice(jobs) if jobs else "job-a"
        match rng.randrange(6):
            case 0:
                return Frame(CONTROL_CHANNEL, JobOpened(job, 10, 1_000))
            case 1:
                return Frame(CONTROL_CHANNEL, JobStarted(job, 2))
            case 2:
                return Frame(CONTROL_CHANNEL, FetchShared(job, 0, rng.choice((0, 3, 2**53))))
            case 3:
                frame = forged_word(rng, Role.HOST, Role.CLIENT)
                if hasattr(frame.message, "job"):
                    return frame._replace(message=msgspec.structs.replace(frame.message, job=job))
                return frame
            case _:
                order = rng.choice(orders) if orders else None
                calls = order.calls if order else [Call(0)]
                outcomes = [Outcome(call.index, 0, Status.OK, 1) for call in calls]
                results = TaskResults(job, order.round if order else 0, "w", outcomes)
                return Frame(CONTROL_CHANNEL, results, [b"\xc0"] * len(calls))


class LyingNetwork:
    """Where they dial; somebody answers each time."""

    def __init__(self, rng):
        self._rng = rng
        self._talks = set()

    async def dial(self, receiver, conversation):
        await asyncio.sleep(0)
        host = LyingHost(self._rng, conversation.local)
        to_host, link = memory.pair(
            receiver, conversation, host, Deaf(Role.HOST, conversation.local)
        )
        talk = asyncio.ensure_future(host.talk(link))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)
        return to_host

    async def over(self):
        while self._talks:
            await asyncio.wait(self._talks)

    def close(self):
        for talk in self._talks:
            talk.cancel()


def object_to(sentence):
    """What a launcher never asks of its processes, whatever it hears."""
    if "of another bundle" not in sentence:
        pytest.fail(sentence)


async def node_among_liars(rng):
    network = LyingNetwork(rng)
    trace = Trace(asyncio.get_running_loop().time, None)
    ground = Ground(Site("node"), rng, trace, 1.0, ["luajit"], {}, object_to)
    supervisor = SimulatedSupervisor(ground)
    launcher = Launcher(
        supervisor,
        NodeSettings("node", name_is_explicit=False, workers=2, memory_bytes=0),
        node_id="a0",
        announce=lambda _: None,
        dial=network.dial,
        jitter=rng.branch(),
    )
    for _ in range(CONNECTIONS):
        link = await network.dial(launcher, Conversation(Role.LAUNCHER, Role.HOST))
        await launcher.greet(link)
        await asyncio.sleep(rng.choice(PAUSES_S))
    assert not launcher.failed.done()
    launcher.leave("it was enough")
    network.close()
    supervisor.close()


class Observer:
    """Counts what arrives: each task once at most."""

    def __init__(self):
        self.arrived = []
        self.job = None

    def results_arrived(self, results, buffers):
        assert sum(outcome.buffer_count for outcome in results.outcomes) == len(buffers)
        indices = [outcome.index for outcome in results.outcomes]
        self.arrived += indices
        self.job.acknowledge(results.round, indices)

    def task_printed(self, index, worker, text): ...
    def task_progressed(self, index, fraction): ...
    def task_running(self, index, worker, elapsed_s): ...
    def workers_changed(self, workers): ...
    def shared_progressed(self, node, received_bytes, total_bytes): ...
    def noticed(self, text): ...
    def job_lost(self, error): ...


async def client_among_liars(rng):
    network = LyingNetwork(rng)
    client = Client(network.dial, node_id="c1", jitter=rng.branch(), patience_s=20.0)
    observer = Observer()
    with contextlib.suppress(MidasError, TimeoutError):
        async with asyncio.timeout(120.0):
            await client.connect()
            job = observer.job = client.open_job("sums", JobSpec(), BUNDLE, observer)
            if rng.happens(0.5):
                job.share(0, [b"\xc0", b"1234"])
            for start in range(0, 40, 5):
                calls = [Call(index) for index in range(start, start + 5)]
                order = RunTasks(job.id, 0, 40, BUNDLE.digest, "execute_code", calls)
                await job.submit(order, [b"payload"] * 5, BUNDLE)
                if rng.happens(0.2):
                    job.cancel(0, [start, start + 1])
            await job.wait_started()
            await asyncio.sleep(20.0)
    client.close()
    assert len(observer.arrived) == len(set(observer.arrived))
    assert set(observer.arrived) <= set(range(40))
    network.close()


@pytest.mark.parametrize("play", [node_among_liars, client_among_liars])
def test_no_host_confuses_those_who_come_to_it(fuzz, play):
    async def bounded(rng):
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        await play(rng)
        for _ in range(5):
            await asyncio.sleep(0)
        for what in complaints:
            raise AssertionError(what["message"]) from what.get("exception")

    def case(rng):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(bounded(rng))

    fuzz.run(case, 100)
