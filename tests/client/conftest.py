"""A client at a host that the test plays over memory links, one connection after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from midas_mp.client.client import Client
from midas_mp.client.job import ClientJob
from midas_mp.errors import HostUnreachable, MidasError
from midas_mp.lua.bundle import Bundle
from midas_mp.transport import memory
from midas_mp.transport.link import Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Buffer, Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Call,
    Hello,
    JobOpened,
    JobSpec,
    JobStarted,
    Outcome,
    Role,
    RunTasks,
    Status,
    TaskResults,
    Welcome,
)
from midas_mp.wire.vocabulary import AnyMessage

BUNDLE = Bundle.from_sources("job.lua", ["m"], [b"return require 'm'", b"return 1"])


class AtOnce(random.Random):
    """No delay between two tries."""

    def uniform(self, a: float, b: float) -> float:
        return a


class HostSide:
    """One connection as the host sees it: remembers what the client says."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.is_lost = False
        self.link: Link
        self._changed = asyncio.Event()

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        self.frames += frames
        self._changed.set()

    def link_lost(self, _link: Link, _error: MidasError | None) -> None:
        self.is_lost = True
        self._changed.set()

    def heard(self, kind: type) -> list[Any]:
        return [frame.message for frame in self.frames if isinstance(frame.message, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def hear(self, kind: type, count: int = 1) -> list[Any]:
        await self.until(lambda: len(self.heard(kind)) >= count)
        return self.heard(kind)

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = ()) -> None:
        self.link.send([Frame(0, message, buffers)])

    def welcome(self) -> None:
        self.say(Welcome(PROTOCOL_VERSION, "0", "client-7", 0))

    def submitted(self) -> list[int]:
        return [call.index for order in self.heard(RunTasks) for call in order.calls]

    def finish(self, job: ClientJob, *indices: int, round_: int = 0) -> None:
        """These tasks are done; task i returned the byte i."""
        outcomes = [Outcome(index, 0, Status.OK, 1) for index in indices]
        results = TaskResults(job.id, round_, "lab-000", outcomes)
        self.say(results, [bytes([index]) for index in indices])


class PlayedHost:
    """Where a client dials; a host that is away answers nobody."""

    def __init__(self) -> None:
        self.is_away = False
        self.tries = 0
        self._fresh: dict[Role, asyncio.Queue[HostSide]] = {
            role: asyncio.Queue() for role in (Role.CLIENT, Role.BULK)
        }

    async def dial(self, receiver: Receiver, conversation: Conversation) -> Link:
        self.tries += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise HostUnreachable("no host listens there")
        side = HostSide()
        to_host, side.link = memory.pair(
            receiver, conversation, side, Conversation(Role.HOST, None)
        )
        self._fresh[conversation.local].put_nowait(side)
        return to_host

    async def greeted(self, role: Role = Role.CLIENT) -> HostSide:
        """The next connection, when its Hello has come."""
        side = await self._fresh[role].get()
        (hello,) = await side.hear(Hello)
        assert (hello.protocol, hello.role) == (PROTOCOL_VERSION, role)
        return side

    async def welcomed(self, role: Role = Role.CLIENT) -> HostSide:
        side = await self.greeted(role)
        side.welcome()
        return side


class Observer:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.lost: asyncio.Future[MidasError] = asyncio.get_running_loop().create_future()

    def results_arrived(self, results: TaskResults, buffers: Sequence[Buffer]) -> None:
        indices = [outcome.index for outcome in results.outcomes]
        self.told.append(("results", indices, list(buffers)))

    def task_printed(self, index: int, worker: str, text: bytes) -> None:
        self.told.append(("printed", index, worker, text))

    def task_progressed(self, index: int, fraction: float) -> None:
        self.told.append(("progressed", index, fraction))

    def task_running(self, index: int, worker: str, elapsed_s: float) -> None:
        self.told.append(("running", index, worker, elapsed_s))

    def workers_changed(self, workers: int) -> None:
        self.told.append(("workers", workers))

    def shared_progressed(self, node: str, received_bytes: int, total_bytes: int) -> None:
        self.told.append(("shared", node, received_bytes, total_bytes))

    def noticed(self, text: str) -> None:
        self.told.append(("noticed", text))

    def job_lost(self, error: MidasError) -> None:
        self.lost.set_result(error)

    def results(self) -> list[int]:
        """Indices, in order of arrival."""
        return [i for kind, *rest in self.told if kind == "results" for i in rest[0]]

    def notices(self) -> list[str]:
        return [str(rest[0]) for kind, *rest in self.told if kind == "noticed"]


class Stage:
    """A client, its host, and one job of it."""

    bundle = BUNDLE
    new_observer = Observer

    def __init__(self, **options: Any) -> None:
        self.host = PlayedHost()
        options = {"jitter": AtOnce()} | options
        self.client = Client(self.host.dial, node_id="c0ffee", **options)
        self.side: HostSide
        self.job: ClientJob
        self.observer: Observer

    @classmethod
    async def let_in(cls, **options: Any) -> Stage:
        """Connected, and no job so far."""
        stage = cls(**options)
        connecting = asyncio.create_task(stage.client.connect())
        stage.side = await stage.host.welcomed()
        assert await connecting == "client-7"
        return stage

    @classmethod
    async def started(cls, *, tasks: int = 4, size: int = 1000, **options: Any) -> Stage:
        """With one started job and so much credit."""
        stage = await cls.let_in(**options)
        stage.job, stage.observer = stage.open_job()
        await stage.admit(tasks=tasks, size=size)
        assert await stage.job.wait_started() == 2
        return stage

    def open_job(self) -> tuple[ClientJob, Observer]:
        observer = Observer()
        spec = JobSpec(seed=3)
        return self.client.open_job("a job", spec, BUNDLE, observer, workers_min=2), observer

    async def admit(self, *, tasks: int = 4, size: int = 1000) -> None:
        """The host opens and starts the job, as it also does for a client that returns."""
        self.side.say(JobOpened(self.job.id, tasks, size))
        self.side.say(JobStarted(self.job.id, 2))
        await self.a_while()

    async def cut(self) -> None:
        """The connection breaks, and the client is there again on the next one."""
        self.side.link.abort()
        self.side = await self.host.welcomed()

    def order(self, *indices: int, round_: int = 0) -> RunTasks:
        calls = [Call(index) for index in indices]
        return RunTasks(self.job.id, round_, 100, BUNDLE.digest, "execute_code", calls)

    def submit(self, *indices: int, size: int = 1, round_: int = 0) -> asyncio.Task[None]:
        payloads = [bytes([index]) * size for index in indices]
        return self.submitting(self.order(*indices, round_=round_), *payloads)

    def submitting(
        self, order: RunTasks, *payloads: bytes, bundle: Bundle | None = None
    ) -> asyncio.Task[None]:
        return asyncio.create_task(self.job.submit(order, payloads, bundle))

    @staticmethod
    async def a_while() -> None:
        """Enough turns of the loop for everything that is possible to happen in memory."""
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def stage() -> type[Stage]:
    return Stage
