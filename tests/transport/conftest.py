"""Two ends of a link on every transport and on both loops, and receivers that remember."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from midas_mp.errors import MidasError, PeerRefused
from midas_mp.join.identity import Identity, make_pem
from midas_mp.join.tls import host_context, peer_context
from midas_mp.transport import memory, stream, tcp
from midas_mp.transport.address import Address
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role, Welcome

HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.LAUNCHER, "0.1", "ab12", "node"))
WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0.1", "node-2", 0))


class Recorder:
    """A receiver that remembers what it got, and lets a test wait for it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.batches: list[int] = []
        self.losses: list[MidasError | None] = []
        self.react: Callable[[Link, list[Frame]], None] = lambda link, frames: None
        self.react_to_loss: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        assert not self.losses, "frames after the end"
        assert frames
        self.frames += frames
        self.batches.append(len(frames))
        self._changed.set()
        self.react(link, frames)

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        self.losses.append(error)
        self._changed.set()
        self.react_to_loss()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def received(self, count: int) -> list[Frame]:
        await self.until(lambda: len(self.frames) >= count)
        return self.frames

    async def lost(self) -> MidasError | None:
        await self.until(lambda: bool(self.losses))
        return self.losses[0]


class Ends:
    """A launcher's end and a host's end of one link, with their receivers."""

    def __init__(self) -> None:
        self.launcher, self.host = Recorder(), Recorder()
        self.launcher_talk = Conversation(Role.LAUNCHER, Role.HOST)
        self.host_talk = Conversation(Role.HOST, None)
        self.a: Link
        self.b: Link
        self.listener: tcp.Listener | None = None

    async def greet(self) -> None:
        self.a.send([HELLO])
        await self.host.received(1)
        self.b.send([WELCOME])
        await self.launcher.received(1)
        self.host.frames.clear()
        self.launcher.frames.clear()
        self.host.batches.clear()
        self.launcher.batches.clear()

    async def finish(self) -> None:
        if self.listener is not None:
            self.listener.close()
        self.a.abort()
        self.b.abort()
        await self.launcher.lost()
        await self.host.lost()


@pytest.fixture
def make_ends() -> type[Ends]:
    return Ends


async def _over_memory(ends: Ends) -> None:
    ends.a, ends.b = memory.pair(ends.launcher, ends.launcher_talk, ends.host, ends.host_talk)


async def _over_unix(ends: Ends) -> None:
    left, right = socket.socketpair()
    ends.a = await stream.attach(left, ends.launcher, ends.launcher_talk, name="the host")
    ends.b = await stream.attach(right, ends.host, ends.host_talk, name="the launcher")


async def _over_tcp(ends: Ends) -> None:
    class Accepted(Recorder):
        def frames_received(self, link: Link, frames: list[Frame]) -> None:
            ends.b = link
            super().frames_received(link, frames)

    ends.host = Accepted()
    ends.listener = await tcp.listen(Address(port=0), lambda: (ends.host, ends.host_talk))
    ends.a = await tcp.connect(ends.listener.address, ends.launcher, ends.launcher_talk)


_TRANSPORTS = {"memory": _over_memory, "unix": _over_unix, "tcp": _over_tcp}


class Runner:
    """Runs a coroutine on one kind of loop; complaints to the loop fail the test unless read."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._factory = factory
        self.complaints: list[dict[str, Any]] = []
        self.ends: list[Ends] = []

    def __call__(self, main: Coroutine[Any, Any, None]) -> None:
        async def bounded() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: self.complaints.append(context))
            async with asyncio.timeout(20):
                await main
                for ends in self.ends:
                    await ends.finish()

        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(bounded())


@pytest.fixture(params=_TRANSPORTS)
def greeted(request: pytest.FixtureRequest, run: Runner) -> Callable[[], Awaitable[Ends]]:
    """Makes the two ends of an open link."""

    async def make() -> Ends:
        ends = Ends()
        await _TRANSPORTS[request.param](ends)
        run.ends.append(ends)
        await ends.greet()
        return ends

    return make


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    runner = Runner(factory)
    yield runner
    assert not runner.complaints


class OneKey:
    """A keyring of one key, for whoever names it."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def look_up(self, key: str, _role: Role) -> Key:
        if key != self._key.id:
            raise PeerRefused(f"this host knows no token {key}", refusal="token")
        return self._key


@pytest.fixture
def keyring() -> type[OneKey]:
    return OneKey


class Tls:
    """A host with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        path = folder / "host.pem"
        path.write_bytes(make_pem())
        self._identity = Identity(path)
        self.fingerprint = self._identity.fingerprint()

    def host(self) -> ssl.SSLContext:
        return host_context(self._identity, None)

    def peer(self) -> ssl.SSLContext:
        return peer_context(None, None)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder
