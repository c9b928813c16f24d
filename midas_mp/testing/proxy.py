"""A bad network on this machine: ``python -m midas_mp.testing.proxy --to :3000 --latency 0.2``.

    peer ══▶ Proxy ══▶ host        both ways alike: slow, narrow, lossy in what TCP does not mend

Peers connect to the proxy as they would to the host.  What the line does to them may be changed at
any time; connections can be cut, and either way can be made a black hole: nothing arrives any
more, and nobody is told.  What a hole has swallowed arrives when it is closed, as TCP would send it
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections import Counter
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import click

from midas_mp.errors import UsageError
from midas_mp.testing.chance import Chance
from midas_mp.testing.spoiling import Spoil, Spoiler
from midas_mp.transport import loop
from midas_mp.transport.address import Address

_READ_BYTES: Final = 64 * 2**10

_QUEUE_PIECES_MAX: Final = 64
"""What is on its way in one direction; more is not read, so that the sender waits."""


class Way(enum.Enum):
    """A direction."""

    TO_HOST = "to the host"
    FROM_HOST = "from the host"


HOLES: Final[dict[str, tuple[Way, ...]]] = {
    "none": (),
    "to-host": (Way.TO_HOST,),
    "from-host": (Way.FROM_HOST,),
    "both": tuple(Way),
}
"""How the command line calls them."""


class BadLine(NamedTuple):
    """What a connection is like.

    Attributes:
        latency_s: what each byte takes, one way.
        jitter_s: by how much longer it may take; the order stays.
        bytes_per_s: what passes each way of each connection; 0 is as much as comes.
        spoil: how often bytes are spoiled.
        cut_every_s: mean time after which a connection is reset; 0 is never.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    spoil: Spoil = Spoil()
    cut_every_s: float = 0.0


class Proxy:
    """Between peers and a host; use it with ``async with``.

    Args:
        target: where the host listens.
        line: what the connections are like; may be set anew at any time, and then holds for what
            comes next.  How often they are spoiled or cut holds for connections that are made next;
            a line that spoils nothing does so at once.
        seed: of all that is left to chance.
        listen: where; any free port of the loopback by default.

    Attributes:
        address: where it listens, once it is entered.
        counts: what was done how often.
    """

    def __init__(
        self,
        target: Address,
        line: BadLine = BadLine(),  # noqa: B008 - immutable
        *,
        seed: int = 0,
        listen: Address = Address("127.0.0.1", 0),  # noqa: B008 - immutable
    ) -> None:
        self.line = line
        self.address = listen
        self.counts: Counter[str] = Counter()
        self._target = target
        self._rng = Chance(f"proxy {seed}")
        self._open = {way: asyncio.Event() for way in Way}
        for event in self._open.values():
            event.set()
        self._refuses = False
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, self.address.host, self.address.port
        )
        self.address = self.address._replace(port=self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        await self._end_all()

    def cut(self) -> int:
        """Resets all connections; returns how many there were."""
        for connection in self._connections:
            connection.cancel()
        self.counts["cut connections"] += len(self._connections)
        return len(self._connections)

    def swallow(self, *ways: Way) -> None:
        """Nothing more arrives on these ways, by default on both, and nobody is told."""
        for way in ways or Way:
            self._open[way].clear()

    def refuse(self) -> None:
        """Whoever connects is turned away."""
        self._refuses = True

    def heal(self) -> None:
        """What is on its way arrives, and who connects is let through."""
        self._refuses = False
        for event in self._open.values():
            event.set()

    # -- within ----------------------------------------------------------------------------------

    async def _end_all(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        connection = asyncio.ensure_future(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end; both sides see a reset unless they ended it themselves."""
        writers = [writer]
        try:
            async with asyncio.TaskGroup() as group:
                there_reader, there_writer = await asyncio.open_connection(
                    self._target.host or "127.0.0.1", self._target.port
                )
                writers.append(there_writer)
                group.create_task(self._pump(Way.TO_HOST, reader, there_writer))
                group.create_task(self._pump(Way.FROM_HOST, there_reader, writer))
                self.counts["connections"] += 1
                if self.line.cut_every_s:
                    group.create_task(self._cut_some_day())
        except* (OSError, _Cut):
            pass
        finally:
            for each in writers:
                each.transport.abort()

    async def _cut_some_day(self) -> None:
        await asyncio.sleep(self._rng.expovariate(1 / self.line.cut_every_s))
        self.counts["cut connections"] += 1
        raise _Cut

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carries one direction: reads ahead, so that what takes its time overlaps."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_QUEUE_PIECES_MAX)
        delivering = asyncio.ensure_future(self._deliver(way, pieces, writer))
        spoiler = Spoiler(self.line.spoil, self._rng.branch(), self.counts)
        clock = asyncio.get_running_loop().time
        due_s = clock()
        try:
            while data := await reader.read(_READ_BYTES):
                line = self.line
                delay_s = line.latency_s + self._rng.uniform(0, line.jitter_s)
                due_s = max(due_s, clock() + delay_s)
                if line.bytes_per_s:
                    due_s += len(data) / line.bytes_per_s
                if line.spoil != Spoil():
                    data = spoiler.spoil(data)
                await _first(pieces.put((due_s, data)), delivering)
            await _first(pieces.put((due_s, b"")), delivering)
            await delivering
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def _deliver(
        self, way: Way, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due_s, data = await pieces.get()
            await asyncio.sleep(due_s - asyncio.get_running_loop().time())
            await self._open[way].wait()
            if writer.is_closing():  # the peer has reset it, as uvloop tells nobody
                raise ConnectionResetError
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


class _Cut(Exception):
    """It is time."""


async def _first(work: Coroutine[Any, Any, None], other: asyncio.Future[None]) -> None:
    """Does the work; raises what the other one raises meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task, other], return_when=asyncio.FIRST_COMPLETED)
        if other.done():
            other.result()
        await task
    finally:
        task.cancel()


@click.command()
@click.option("--to", "target", required=True, help="Address of the host.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, help="Where peers connect.")
@click.option("--latency", default=0.0, help="Seconds that each byte takes, one way.")
@click.option("--jitter", default=0.0, help="So many seconds more, at most.")
@click.option("--rate", default=0, help="Bytes a second, each way.")
@click.option("--flip-every", default=0, help="Flip a bit in so many bytes.")
@click.option("--duplicate-every", default=0, help="Say some bytes twice in so many.")
@click.option("--reorder-every", default=0, help="Say some bytes late in so many.")
@click.option("--cut-every", default=0.0, help="Reset each connection after so many seconds.")
@click.option("--black-hole", type=click.Choice([*HOLES]), default="none", help="Nothing arrives.")
@click.option("--seed", default=0, help="Of all that is chance.")
def main(target: str, listen: str, black_hole: str, seed: int, **said: float) -> None:
    """Be a bad network between a host and its peers, until Ctrl-C."""
    spoil = Spoil(said["flip_every"], said["duplicate_every"], said["reorder_every"])
    line = BadLine(said["latency"], said["jitter"], said["rate"], spoil, said["cut_every"])
    try:
        proxy = Proxy(Address.parse(target), line, seed=seed, listen=Address.parse(listen))
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    with contextlib.suppress(KeyboardInterrupt):
        loop.run(_serve(proxy, HOLES[black_hole]))


async def _serve(proxy: Proxy, holes: tuple[Way, ...]) -> None:
    async with proxy:
        if holes:
            proxy.swallow(*holes)
        click.echo(f"listening on {proxy.address}", err=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
