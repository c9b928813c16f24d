"""Peers of a host that may say whatever a test wants, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self, TypeVar

import pytest

from midas_mp import limits
from midas_mp.host.host import Host
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.wire.framing import Buffer, Frame, FrameDecoder, encode_all
from midas_mp.wire.messages import PROTOCOL_VERSION, Heartbeat, Hello, Role, Welcome
from midas_mp.wire.records import RecordReader, RecordWriter
from midas_mp.wire.vocabulary import AnyMessage

M = TypeVar("M")


class Visitor:
    """One raw connection to a host: no link, no conversation, no manners."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = FrameDecoder()
        self._records = RecordReader()
        self._sealing = RecordWriter()
        self.frames: list[Frame] = []
        """Heard and not asked for yet."""

    @classmethod
    async def to(cls, address: Address) -> Self:
        return cls(*await asyncio.open_connection(address.host, address.port))

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def say(self, message: AnyMessage, buffers: Sequence[Buffer] = (), channel: int = 0) -> None:
        self._writer.writelines(self._sealing.seal(encode_all([Frame(channel, message, buffers)])))

    async def ask_without_end(self, question: AnyMessage) -> None:
        """And read no answer.

        Raises:
            ConnectionError: the host has hung up.
        """
        while True:
            self.say(question)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def hear(self, kind: type[M]) -> M:
        """The next message, which is of this kind."""
        message = (await self.hear_frame()).message
        assert isinstance(message, kind), message
        return message

    async def hear_frame(self) -> Frame:
        while not self.frames:
            data = await self._reader.read(1 << 16)
            assert data, "the host hung up instead of saying something"
            self._take(data)
        return self.frames.pop(0)

    async def greet(self, role: Role = Role.LAUNCHER, **fields: object) -> Welcome:
        self.say(hello(role, **fields))
        return await self.hear(Welcome)

    async def last_words(self) -> list[AnyMessage]:
        """All that the host still says, until it hangs up."""
        try:
            while data := await self._reader.read(1 << 16):
                self._take(data)
        except ConnectionResetError:
            pass
        self.hang_up()
        heard, self.frames = self.frames, []
        return [frame.message for frame in heard]

    def _take(self, data: bytes) -> None:
        """What was said; a host that is slow beats its heart in between."""
        for part in self._records.feed(data):
            frames = self._decoder.feed(part)
            self.frames += [each for each in frames if not isinstance(each.message, Heartbeat)]

    def hang_up(self) -> None:
        self._writer.transport.abort()


def hello(role: Role = Role.LAUNCHER, **fields: object) -> Hello:
    usual = {
        "protocol": PROTOCOL_VERSION,
        "role": role,
        "release": "0.0.1",
        "node_id": "ab12",
        "name": "laptop",
    }
    return Hello(**(usual | fields))


class StandingHost:
    """A host that listens, what it announced, and its visitors."""

    def __init__(self, patience_s: float) -> None:
        self.announced: list[str] = []
        self.host = Host(announce=self.announced.append, patience_s=patience_s)
        self.address: Address
        self.visitors: list[Visitor] = []

    async def visit(self) -> Visitor:
        self.visitors.append(await Visitor.to(self.address))
        return self.visitors[-1]

    async def launcher(self, *, workers: int = 1, **fields: object) -> Visitor:
        """One that has been welcomed."""
        visitor = await self.visit()
        await visitor.greet(Role.LAUNCHER, workers_announced=workers, **fields)
        return visitor

    async def client(self) -> Visitor:
        visitor = await self.visit()
        await visitor.greet(Role.CLIENT, node_id="c1", name="client-1")
        return visitor


@asynccontextmanager
async def _listening(
    *, patience_s: float = limits.CLIENT_PATIENCE_S
) -> AsyncIterator[StandingHost]:
    standing = StandingHost(patience_s)
    listener = await tcp.listen(
        Address(port=0),
        lambda: (standing.host, Host.conversation()),
        turned_away=standing.host.turned_away,
    )
    standing.address = listener.address
    try:
        yield standing
    finally:
        for visitor in standing.visitors:
            visitor.hang_up()
        listener.close()
        await standing.host.close("the test is over")


@pytest.fixture
def listening() -> Callable[..., AbstractAsyncContextManager[StandingHost]]:
    """``async with listening() as standing``."""
    return _listening


@pytest.fixture
def make_hello() -> Callable[..., Hello]:
    return hello


@pytest.fixture
def visit() -> Callable[[Address], Awaitable[Visitor]]:
    return Visitor.to
