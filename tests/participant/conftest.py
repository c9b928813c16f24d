"""Real zygotes and real Lua processes for the tests of this folder."""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Self, TypeVar

import msgpack
import psutil
import pytest

from midas_mp.errors import HostUnreachable, MidasError, ProcessLost
from midas_mp.lua.bundle import Bundle
from midas_mp.participant import held_back
from midas_mp.participant.child import Child, ChildExit
from midas_mp.participant.launcher import Launcher
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.seat import FRAME_TIME_TARGET_US
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.participant.zygote_messages import ChildSpec
from midas_mp.permissions import Permissions
from midas_mp.transport import memory
from midas_mp.transport.link import Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Buffer, Frame, FrameDecoder, encode_all
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    Call,
    FetchShared,
    Hello,
    JobSpec,
    PutBundle,
    Refused,
    Role,
    RunTasks,
    SharedPart,
    TaskPrinted,
    TaskResults,
    Welcome,
    WorkerUp,
)
from midas_mp.wire.vocabulary import AnyMessage

M = TypeVar("M")

PATIENCE_S: Final = 20.0
MB: Final = 2**20

SHORT_US: Final = FRAME_TIME_TARGET_US / 6
"""So short that a frame holds several, also as long as it is no longer than it must be."""


class Peer:
    """The parent's side of one Lua process, with blocking calls."""

    def __init__(self, zygote: Zygote, spec: ChildSpec) -> None:
        self.zygote = zygote
        self.exits: list[ChildExit] = []
        self.child: Child = zygote.spawn(spec, self.exits.append)
        self.child.socket.settimeout(PATIENCE_S)
        self._decoder = FrameDecoder()
        self._frames: list[Frame] = []

    def send(self, message: AnyMessage, buffers: Sequence[bytes] = ()) -> None:
        self.child.socket.sendall(b"".join(encode_all([Frame(0, message, buffers)])))

    def receive(self) -> Frame:
        """The next frame; ConnectionResetError where the process closed its end."""
        while not self._frames:
            data = self.child.socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError(self.child.page.last_words())
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def is_silent(self) -> bool:
        """Whether nothing can be received now."""
        return not select.select([self.child.socket], [], [], 0)[0]

    def wait_exit(self) -> ChildExit:
        until = time.monotonic() + PATIENCE_S
        while not self.exits:
            left = until - time.monotonic()
            assert left > 0, "the process did not end"
            select.select([self.zygote], [], [], left)
            self.zygote.dispatch()
        return self.exits[0]


@pytest.fixture(autouse=True)
def nothing_comes_back_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hosts of these tests do not give a task anew that waited behind another on a busy
    machine; ``test_held_back`` is about those that do.
    """
    monkeypatch.setattr(held_back, "LONG_S", 60.0)


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote.start()
    yield zygote
    zygote.close()


@pytest.fixture
def spawn(zygote: Zygote) -> Iterator[Callable[..., Peer]]:
    """Starts a Lua process; ``spawn(profile="driver", …)`` overrides what its spec says."""
    peers = []
    usual = zygote

    def start(zygote: Zygote = usual, **overrides: object) -> Peer:
        fields = {
            "name": "laptop-000",
            "node": "laptop",
            "profile": "worker",
            "memory_bytes": 0,
            "memory_hard_bytes": 0,
        }
        if overrides.get("profile") == "driver":
            fields["permissions"] = Permissions.of_driver(
                str(overrides.get("working_directory", ""))
            )
        peers.append(Peer(zygote, ChildSpec(**(fields | overrides))))
        return peers[-1]

    yield start
    for peer in peers:
        peer.child.close()


class HostSide:
    """A host as a launcher sees it, played by the test over a memory link."""

    def __init__(self, launcher: Launcher) -> None:
        self.frames: list[Frame] = []
        """All it heard, in order."""
        self.link: Link
        self.losses: list[MidasError | None] = []
        self._changed = asyncio.Event()
        self._bundle: Bundle
        conversation = Conversation(Role.LAUNCHER, Role.HOST)
        to_host, self.link = memory.pair(
            launcher, conversation, self, Conversation(Role.HOST, None)
        )
        self.lost = launcher.greet(to_host)

    # -- as a Receiver ---------------------------------------------------------------------------

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        self.frames += frames
        self._changed.set()

    def link_lost(self, _link: Link, error: MidasError | None) -> None:
        self.losses.append(error)
        self._changed.set()

    # -- hearing ---------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def heard(self, kind: type[M]) -> list[M]:
        return [frame.message for frame in self.frames if isinstance(frame.message, kind)]

    async def hear(self, kind: type[M], count: int = 1) -> list[M]:
        """So many messages of a kind; waits until they are there."""
        await self.until(lambda: len(self.heard(kind)) >= count)
        return self.heard(kind)

    def outcomes(self) -> dict[int, tuple[str, object]]:
        """What was said of each task: worker and status, or worker and failure."""
        found: dict[int, tuple[str, object]] = {}
        for frame in self.frames:
            if isinstance(frame.message, TaskResults):
                outcomes = frame.message.outcomes
                for outcome, payload in zip(outcomes, frame.buffers, strict=True):
                    assert outcome.index not in found, "a result that came twice"
                    found[outcome.index] = (outcome.status.name, msgpack.unpackb(payload))
        return found

    async def results(self, count: int) -> dict[int, tuple[str, object]]:
        await self.until(lambda: len(self.outcomes()) >= count)
        return self.outcomes()

    def printed_lines(self) -> list[bytes]:
        frames = [frame for frame in self.frames if isinstance(frame.message, TaskPrinted)]
        return [bytes(frame.buffers[0]) for frame in frames]

    async def hear_of(self, job: str) -> None:
        """Waits for a result of a job."""
        await self.until(lambda: any(results.job == job for results in self.heard(TaskResults)))

    async def printed(self, text: bytes) -> None:
        """Waits until a task has printed it."""
        await self.until(
            lambda: any(
                isinstance(frame.message, TaskPrinted) and bytes(frame.buffers[0]) == text
                for frame in self.frames
            )
        )

    # -- speaking --------------------------------------------------------------------------------

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = (), channel: int = 0) -> None:
        self.link.send([Frame(channel, message, buffers)])

    async def welcome(self, name: str = "laptop", epoch: int = 0) -> list[WorkerUp]:
        """Lets the node in; its workers, when all of them are registered."""
        (hello,) = await self.hear(Hello)
        self.say(Welcome(PROTOCOL_VERSION, "0", name, epoch))
        return await self.hear(WorkerUp, hello.workers_announced)

    def begin(self, source: str, job: str = "job", **spec: object) -> None:
        self._bundle = Bundle.from_sources("job.lua", [], [source.encode()])
        self.say(BeginJob(job, JobSpec(**spec)))
        self.say(PutBundle(job, self._bundle.digest, "job.lua", []), [source.encode()])

    def submit(
        self,
        channel: int,
        tasks: dict[int, object],
        job: str = "job",
        round_: int = 0,
        epoch: int | None = None,
    ) -> None:
        """Gives the worker of a channel, as far as it is known, a batch: index to payload."""
        calls = [Call(index) for index in tasks]
        if epoch is None:
            ups = {up.channel: up for up in self.heard(WorkerUp)}
            epoch = ups[channel].epoch if channel in ups else 0
        message = RunTasks(
            job,
            round_,
            1_000,
            self._bundle.digest,
            "execute_code",
            calls,
            epoch=epoch,
        )
        self.say(message, [msgpack.packb(value) for value in tasks.values()], channel)


class BulkSide:
    """The host's end of a node's bulk connections; a test answers the questions by hand."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.hellos: list[Hello] = []
        self.questions: list[FetchShared] = []
        self.knocks = 0
        self.lost = 0
        self.is_down = False
        self.failure: Exception | None = None
        """What dialling ends with."""
        self.refused: Refused | None = None
        self._changed = asyncio.Event()

    async def dial(self, receiver: Receiver, conversation: Conversation) -> Link:
        self.knocks += 1
        self._changed.set()
        if self.is_down:
            raise HostUnreachable("nobody there")
        if self.failure is not None:
            raise self.failure
        to_host, link = memory.pair(receiver, conversation, self, Conversation(Role.HOST, None))
        self.links.append(link)
        return to_host

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame.message, Hello):
                self.hellos.append(frame.message)
                if self.refused is not None:
                    link.close(Frame(0, self.refused))
                else:
                    link.send([Frame(0, Welcome(PROTOCOL_VERSION, "0", "laptop", 0))])
            elif isinstance(frame.message, FetchShared):
                self.questions.append(frame.message)
        self._changed.set()

    def link_lost(self, _link: Link, _error: MidasError | None) -> None:
        self.lost += 1
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def asked(self, count: int = 1) -> FetchShared:
        """The question of that number."""
        await self.until(lambda: len(self.questions) >= count)
        return self.questions[count - 1]

    def send_part(self, question: FetchShared, offset: int, data: Buffer) -> None:
        """On the newest connection."""
        part = SharedPart(question.job, question.round, offset)
        self.links[-1].send([Frame(0, part, [data])])


class Node:
    """A launcher with its supervisor and zygote; ``async with`` leaves nothing behind."""

    def __init__(self, **settings: object) -> None:
        fields = {
            "name": "laptop",
            "name_is_explicit": False,
            "workers": 1,
            "memory_bytes": 256 * MB,
        }
        self.zygote = Zygote.start()
        self.zygote_losses: list[ProcessLost] = []
        self.supervisor = Supervisor(self.zygote, zygote_lost=self.zygote_losses.append)
        self.announced: list[str] = []
        self.bulk = BulkSide()
        self.launcher = Launcher(
            self.supervisor,
            NodeSettings(**(fields | settings)),
            node_id="ab12",
            announce=self.announced.append,
            dial=self.bulk.dial,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        try:
            self.launcher.leave("the test is over")
        finally:
            self.supervisor.close()

    def meet(self) -> HostSide:
        """A new host that has heard nothing yet."""
        return HostSide(self.launcher)

    async def measure_short_tasks(self, host: HostSide) -> int:
        """Runs tasks of the job, until they are known here as so short that several share a frame;
        the index of the next one.

        Those of no known length go one at a time, so that the rest can be recalled.
        """
        index = 0
        while self.launcher._crew._seats[1].expected_us("job") > SHORT_US:
            host.submit(1, {index: "x"})
            index += 1
            await host.results(index)
        return index

    def worker(self, name: str = "laptop-000") -> psutil.Process:
        """The operating system's view of the process that sits on a seat."""
        pids = {
            seat.channel: seat.ready.pid
            for seat in self.launcher._crew._seats.values()
            if seat.ready
        }
        return psutil.Process(pids[int(name.rsplit("-", 1)[1]) + 1])


@pytest.fixture
def bulk_side() -> type[BulkSide]:
    return BulkSide


@pytest.fixture
def node() -> type[Node]:
    """``async with node(workers=2) as n: host = n.meet()``."""
    return Node


@pytest.fixture
def at_work() -> Callable[..., AbstractAsyncContextManager[tuple[Node, HostSide]]]:
    """``async with at_work(SOURCE, workers=2) as (n, host):``: its workers are registered at a host
    that has begun a job.
    """

    @contextlib.asynccontextmanager
    async def begin(source: str, **settings: object) -> AsyncIterator[tuple[Node, HostSide]]:
        async with Node(**settings) as n:
            host = n.meet()
            await host.welcome()
            host.begin(source)
            yield n, host

    return begin
