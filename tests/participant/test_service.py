"""A standing participant: with hosts that come, go, refuse, and with what is no host at all."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from midas_mp import limits
from midas_mp.errors import HostUnreachable, PeerRefused, ProcessLost, ProtocolError
from midas_mp.join.identity import Identity, make_pem
from midas_mp.join.tls import host_context, peer_context
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.service import drain, serve, visit_hosts, wait_idle
from midas_mp.participant.zygote import Zygote
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    BeginJob,
    EndJob,
    FetchShared,
    Goodbye,
    Hello,
    JobSpec,
    NodeLeaving,
    OfferShared,
    Refused,
    Role,
    TaskPrinted,
    Welcome,
    WorkerUp,
)

SETTINGS = NodeSettings("laptop", name_is_explicit=False, workers=2, memory_bytes=256 * limits.MB)


class Door:
    """A host that a test plays: it lets in whoever knocks, and remembers what they say."""

    def __init__(self, *, answer: Callable[[], Frame]) -> None:
        self._answer = answer
        self.links: list[Link] = []
        self.heard: asyncio.Queue[object] = asyncio.Queue()

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            if isinstance(frame.message, Hello):
                self.links.append(link)
                answer = self._answer()
                if isinstance(answer.message, Refused):
                    link.close(answer)
                else:
                    link.send([answer])
            self.heard.put_nowait(frame.message)

    def link_lost(self, _link: Link, _error: object) -> None:
        self.heard.put_nowait(None)

    async def hear(self, kind: type) -> object:
        """The next message of a kind; others, and ends of links, are passed over."""
        while not isinstance(message := await self.heard.get(), kind):
            pass
        return message

    async def workers(self) -> set[str]:
        return {(await self.hear(WorkerUp)).name for _ in range(SETTINGS.workers)}


def welcome() -> Frame:
    return Frame(0, Welcome(PROTOCOL_VERSION, "0", "laptop", 0))


@asynccontextmanager
async def opened(
    address: Address, answer: Callable[[], Frame] = welcome
) -> AsyncIterator[tuple[Address, Door]]:
    door = Door(answer=answer)
    listener = await tcp.listen(address, lambda: (door, Conversation(Role.HOST, None)))
    try:
        yield listener.address, door
    finally:
        listener.close()
        for link in door.links:
            link.abort()


class Participant:
    """``serve`` under way."""

    def __init__(self, address: Address, settings: NodeSettings, **options: object) -> None:
        self.zygote = Zygote.start()
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.task = asyncio.create_task(
            serve(
                address,
                settings,
                self.zygote,
                badge=None,
                announce=self.said.put_nowait,
                **options,
            )
        )

    async def says(self, part: str) -> str:
        """The next sentence with this in it."""
        while part not in (sentence := await self.said.get()):
            pass
        return sentence

    def worker_pids(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.zygote.pid).children()}


@asynccontextmanager
async def _serving(
    address: Address,
    settings: dict[str, object] | None = None,
    **options: object,
) -> AsyncIterator[Participant]:
    participant = Participant(address, SETTINGS._replace(**(settings or {})), **options)
    try:
        yield participant
    finally:
        participant.task.cancel()
        await asyncio.gather(participant.task, return_exceptions=True)


@pytest.fixture
def serving() -> Callable[..., AbstractAsyncContextManager[Participant]]:
    return _serving


def test_it_joins_and_says_goodbye_when_it_is_stopped(run: Callable, serving: Callable) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, door), serving(address) as participant:
            hello = await door.hear(Hello)
            assert (hello.role, hello.name, hello.workers_announced) == (
                Role.LAUNCHER,
                "laptop",
                2,
            )
            assert await door.workers() == {"laptop-000", "laptop-001"}
            assert await participant.says("joined") == "joined the host as laptop, 2 workers"
            participant.task.cancel()
            assert (await door.hear(Goodbye)).reason == "the participant is stopping"
            with pytest.raises(asyncio.CancelledError):
                await participant.task
            assert not psutil.pid_exists(participant.zygote.pid)

    run(main())


def test_it_waits_for_a_host_that_is_not_up_yet(run: Callable, serving: Callable) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, _):
            pass
        async with serving(address) as participant:
            assert "no host listens at" in await participant.says("waiting for a host: ")
            async with opened(address) as (_, door):
                assert await door.workers() == {"laptop-000", "laptop-001"}

    run(main())


def test_it_serves_the_next_host_with_the_same_workers(run: Callable, serving: Callable) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, first), serving(address) as participant:
            node_id = (await first.hear(Hello)).node_id
            await first.workers()
            pids = participant.worker_pids()
            for link in first.links:
                link.close(Frame(0, Goodbye("the host is stopping")))
            said = await participant.says("is gone")
            assert said == (
                f"the host at {address} is gone (the host is stopping); waiting for the next one"
            )
            assert (await first.hear(Hello)).node_id == node_id
            assert await first.workers() == {"laptop-000", "laptop-001"}
            assert participant.worker_pids() == pids
            assert len(pids) == 2

    run(main())


def test_a_host_that_is_gone_is_named_once(run: Callable, serving: Callable) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, door), serving(address) as participant:
            await door.workers()
            sock = door.links[0]._transport.get_extra_info("socket")
            at_once = struct.pack("ii", 1, 0)  # a reset, as from a machine that was started again
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            door.links[0].abort()
            said = await participant.says("is gone")
            assert said.startswith(f"the host at {address} is gone (the connection broke: ")
            assert said.count(str(address)) == 1

    run(main())


def test_a_refusal_ends_it(run: Callable, serving: Callable) -> None:
    refused = Frame(0, Refused("name_taken", "the name 'laptop' is taken"))

    async def main() -> None:
        async with (
            opened(Address(port=0), lambda: refused) as (address, door),
            serving(address, {"name_is_explicit": True}) as participant,
        ):
            with pytest.raises(PeerRefused, match="the name 'laptop' is taken"):
                await participant.task
            assert (await door.hear(Hello)).name_is_explicit

    run(main())


def test_what_is_no_host_ends_it(run: Callable, serving: Callable) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with serving(Address(*server.sockets[0].getsockname())) as participant:
            with pytest.raises(ProtocolError, match="does not answer like a Midas host"):
                await participant.task
        server.close()

    run(main())


class NoPause(random.Random):
    """Notes what delays were drawn from, and waits for none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[float] = []

    def uniform(self, _low: float, high: float) -> float:
        self.bounds.append(high)
        return 0.0


def test_who_hangs_up_without_a_welcome_is_tried_ever_more_seldom(
    run: Callable, node: Callable
) -> None:
    """A forwarded port whose other end has no listener yet behaves like this."""
    knocks = asyncio.Queue()

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.put_nowait(None)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname())
        jitter, said = NoPause(), []
        async with node() as n:
            visits = asyncio.create_task(
                visit_hosts(
                    partial(tcp.connect, address),
                    n.launcher,
                    where=str(address),
                    announce=said.append,
                    jitter=jitter,
                )
            )
            for _ in range(12):
                await knocks.get()
            visits.cancel()
            await asyncio.gather(visits, return_exceptions=True)
        server.close()
        await server.wait_closed()
        assert jitter.bounds[:8] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6]
        assert jitter.bounds[8] == limits.RECONNECT_DELAY_S_MAX
        (once,) = said
        assert once.startswith(f"waiting for a host: {address} hung up without a welcome")

    run(main())


def test_who_is_cut_off_behind_the_tls_handshake_comes_again(
    run: Callable, node: Callable, tmp_path: Path
) -> None:
    """As by a host that has no room, by a proxy that is restarted, or over a bad line."""
    (tmp_path / "host.pem").write_bytes(make_pem())
    identity = Identity(tmp_path / "host.pem")
    badge = Badge(Key.of(b"k" * 32), peer_context(None, None), identity.fingerprint())
    knocks = asyncio.Queue()

    async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.put_nowait(None)
        writer.transport.abort()

    async def main() -> None:
        tls = host_context(identity, None)
        server = await asyncio.start_server(cut, "127.0.0.1", 0, ssl=tls)
        address = Address(*server.sockets[0].getsockname())
        jitter, said = NoPause(), []
        async with node() as n:
            visits = asyncio.create_task(
                visit_hosts(
                    partial(tcp.connect, address, badge=badge),
                    n.launcher,
                    where=str(address),
                    announce=said.append,
                    jitter=jitter,
                )
            )
            for _ in range(6):
                await knocks.get()
            assert not visits.done()
            visits.cancel()
            await asyncio.gather(visits, return_exceptions=True)
        server.close()
        await server.wait_closed()
        assert jitter.bounds[:5] == [0.2, 0.4, 0.8, 1.6, 3.2]
        (once,) = said
        assert once == f"waiting for a host: {address} hung up before it let us in"

    run(main())


def test_a_host_that_is_frozen_is_tried_again(
    run: Callable, serving: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tcp.connect.__kwdefaults__, "timeout_s", 0.05)
    knocks = asyncio.Queue()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.put_nowait(None)
        await reader.read()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with serving(Address(*server.sockets[0].getsockname())) as participant:
            await knocks.get()
            assert "did not greet within" in await participant.says("waiting for a host")
            await knocks.get()
        server.close()

    run(main())


def test_a_name_that_nobody_typed_gives_way_at_the_next_host(
    run: Callable, serving: Callable
) -> None:
    names = iter(["lab", "lab-2"])

    def next_welcome() -> Frame:
        return Frame(0, Welcome(PROTOCOL_VERSION, "0", next(names), 0))

    async def main() -> None:
        async with (
            opened(Address(port=0), next_welcome) as (address, door),
            serving(address) as participant,
        ):
            await door.hear(Hello)
            assert await door.workers() == {"lab-000", "lab-001"}
            for link in door.links:
                link.abort()
            again = await door.hear(Hello)
            assert (again.name, again.name_is_explicit) == ("lab", False)
            assert await door.workers() == {"lab-2-000", "lab-2-001"}
            assert not participant.task.done()

    run(main())


def test_the_loss_of_the_zygote_ends_it(run: Callable, serving: Callable) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, door), serving(address) as participant:
            await door.workers()
            os.kill(participant.zygote.pid, signal.SIGKILL)
            with pytest.raises(ProcessLost, match="the zygote ended: killed by SIGKILL"):
                await participant.task

    run(main())


def test_a_node_that_cannot_run_workers_gives_up(
    run: Callable, serving: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY_SLACK_BYTES", 0)

    async def main() -> None:
        async with (
            opened(Address(port=0)) as (address, _),
            serving(address, {"memory_bytes": 1}) as participant,
        ):
            with pytest.raises(ProcessLost, match="workers cannot start here: "):
                await participant.task

    run(main())


# -- once, and idle ------------------------------------------------------------------------------


def test_once_it_leaves_when_its_host_does(run: Callable, serving: Callable) -> None:
    async def main() -> None:
        async with (
            opened(Address(port=0)) as (address, door),
            serving(address, once=True) as participant,
        ):
            await door.workers()
            door.links[0].abort()
            await participant.says("is gone")
            await participant.says("back at the host as laptop, 2 workers")
            door.links[1].close(Frame(0, Goodbye("done")))
            assert await participant.task is None
            assert not psutil.pid_exists(participant.zygote.pid)

    run(main())


def test_once_it_waits_for_the_first_host_for_ever_and_then_with_patience(
    run: Callable, serving: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLIENT_PATIENCE_S", 0.1)

    async def main() -> None:
        async with opened(Address(port=0)) as (address, _):
            pass
        async with serving(address, once=True) as participant:
            await participant.says("waiting for a host")
            async with opened(address) as (_, door):
                await door.workers()
            with pytest.raises(HostUnreachable, match="did not come back: no host listens at"):
                await participant.task

    run(main())


@pytest.mark.parametrize("code", ["fault", "replaced"])
def test_a_host_that_wants_it_no_more_is_not_visited_again(
    code: str, run: Callable, serving: Callable
) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, door), serving(address) as participant:
            await door.workers()
            door.links[0].close(Frame(0, Goodbye("enough of you", code)))
            with pytest.raises(PeerRefused, match="enough of you"):
                await participant.task
            assert len(door.links) == 1

    run(main())


@pytest.mark.parametrize("is_late", [False, True])
def test_who_is_killed_ends_in_good_order(is_late: bool, run: Callable, serving: Callable) -> None:
    """Or hears of it when it comes again, where it could not hear before."""
    refused = Frame(0, Refused("killed", "killed by ann@laptop"))

    async def main() -> None:
        async with (
            opened(Address(port=0), *([lambda: refused] if is_late else [])) as (address, door),
            serving(address) as participant,
        ):
            if not is_late:
                await door.workers()
                door.links[0].close(Frame(0, Goodbye("killed by ann@laptop", "killed")))
            assert await participant.task is None
            told = f"the host at {address} ended this participant: killed by ann@laptop"
            assert await participant.says("ended") == told
            assert len(door.links) == 1

    run(main())


@pytest.mark.parametrize("is_there", [True, False])
def test_it_leaves_when_there_was_nothing_to_do(
    is_there: bool, run: Callable, serving: Callable
) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, _):
            where = address if is_there else Address(port=1)
            async with serving(where, idle_timeout_s=0.3) as participant:
                assert await participant.task is None
                assert await participant.says("nothing to do for 0.3 s; leaving")

    run(main())


def test_who_computes_is_not_idle(run: Callable, at_work: Callable) -> None:
    endless = """
    function execute_code()
      while true do
        local ends = os.clock() + 0.05
        while os.clock() < ends do end
        _print("still at it")
      end
    end
    """

    async def main() -> None:
        async with at_work(endless) as (n, host):
            host.submit(1, {0: None})
            await host.hear(TaskPrinted)
            said: list[str] = []
            idling = asyncio.create_task(wait_idle(n.launcher, 0.1, said.append))
            await host.hear(TaskPrinted, 5)  # it has computed for longer than that
            assert not idling.done()
            host.say(EndJob("job"))
            await idling
            assert said == ["nothing to do for 0.1 s; leaving"]

    run(main())


def test_who_leaves_says_what_nobody_has_heard(run: Callable, node: Callable) -> None:
    async def main() -> None:
        async with node() as n:
            host = n.meet()
            await host.welcome()
            host.begin("function execute_code() return 1 end")
            n.worker().suspend()
            host.submit(1, {0: None})
            while not n.launcher.held_count:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)
            host.link.abort()
            await host.lost
            n.worker().resume()
            while not n.launcher.kept_count:  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)
            said: list[str] = []
            draining = asyncio.Event()
            draining.set()
            await drain(n.launcher, draining, 0.1, said.append)
            assert said == [
                "leaving: 1 result waits for a host for up to 0.1 s",
                "1 result has found no host within 0.1 s; others compute that again",
                "left",
            ]

    run(main())


def test_who_leaves_says_what_goes_on_and_what_is_left_to_others(
    run: Callable, at_work: Callable
) -> None:
    endless = "function execute_code() print('looping') while true do end end"

    async def main() -> None:
        async with at_work(endless, workers=2) as (n, host):
            for channel in (1, 2):
                host.submit(channel, {channel: None})
            await host.hear(TaskPrinted, 2)
            said: list[str] = []
            draining = asyncio.Event()
            draining.set()
            await drain(n.launcher, draining, 0.1, said.append)
            assert said == [
                "leaving: 2 tasks go on here for up to 0.1 s",
                "2 tasks are not done after 0.1 s and left to others",
                "left",
            ]

    run(main())


def test_a_participant_that_drains_says_so_to_its_host_and_ends(
    run: Callable, serving: Callable
) -> None:
    async def main() -> None:
        async with opened(Address(port=0)) as (address, door):
            draining = asyncio.Event()
            async with serving(address, draining=draining, grace_s=20.0) as participant:
                await door.workers()
                draining.set()
                await participant.task
                assert await door.hear(NodeLeaving) == NodeLeaving("draining", 20.0)
                assert (await door.hear(Goodbye)).reason == "drained"
                assert await participant.says("left") == "left"

    run(main())


def test_losses_leave_no_descriptor_behind(run: Callable, serving: Callable) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def main() -> None:
        async with opened(Address(port=0)) as (address, door), serving(address) as participant:
            await door.workers()
            counts = []
            for count in range(1, 6):
                # lost while it fetches shared data on its bulk connection
                job = f"job-{count}"
                offer = OfferShared(job, 0, [1_000_000])
                door.links[-1].send([Frame(0, BeginJob(job, JobSpec())), Frame(0, offer)])
                await door.hear(FetchShared)
                counts.append(descriptors())
                before = len(door.links)
                launcher_link = next(
                    k for k in reversed(door.links) if k.conversation.remote is Role.LAUNCHER
                )
                launcher_link.abort()
                while len(door.links) == before:
                    await door.hear(Hello)
                await door.workers()
            assert counts == counts[:1] * 5
            assert len(participant.worker_pids()) == 2

    run(main())
