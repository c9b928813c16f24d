"""What a launcher may say to its host, and when its workers must wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from midas_mp import limits
from midas_mp.errors import ClusterLost, MidasError
from midas_mp.participant.uplink import Uplink
from midas_mp.transport import memory
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Hello,
    Role,
    TaskPrinted,
    Welcome,
    WorkerUp,
)

HELLO = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "a", "node")
UP = WorkerUp(1, "node-000", 0, 3, ["luajit"])
PRINTED = Frame(1, TaskPrinted("job", 0, 0, "node-000"), [b"x" * limits.MB])


class End:
    """One end of the link: remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.news = asyncio.Event()

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        self.heard += [type(frame.message).__name__ for frame in frames]
        self.news.set()

    def link_lost(self, _link: Link, _error: MidasError | None) -> None:
        self.news.set()

    async def until_heard(self, name: str) -> None:
        while name not in self.heard:
            self.news.clear()
            await self.news.wait()


class Writer:
    """Stands for a worker that prints: only told to wait, and to go on."""

    def __init__(self) -> None:
        self.is_held = False
        self.changed = asyncio.Event()

    def pause_output(self) -> None:
        self.is_held = True
        self.changed.set()

    def resume_output(self) -> None:
        self.is_held = False
        self.changed.set()

    async def until(self, *, held: bool) -> None:
        while self.is_held is not held:
            self.changed.clear()
            await self.changed.wait()


def connected(*processes: Any) -> tuple[Uplink, End, End, Link]:
    node, host = End(), End()
    to_host, to_node = memory.pair(
        node, Conversation(Role.LAUNCHER, Role.HOST), host, Conversation(Role.HOST, None)
    )
    return Uplink(to_host, lambda: list(processes)), node, host, to_node


async def greeted(uplink: Uplink, node: End, host: End, to_node: Link) -> None:
    uplink.link.send([Frame(0, HELLO)])
    await host.until_heard("Hello")
    to_node.send([Frame(0, Welcome(PROTOCOL_VERSION, "1", "node", 0))])
    await node.until_heard("Welcome")


def test_before_its_welcome_a_launcher_keeps_silent(run: Callable) -> None:
    async def main() -> None:
        uplink, node, host, to_node = connected()
        uplink.say(0, UP)
        await greeted(uplink, node, host, to_node)
        uplink.say(0, UP)
        await host.until_heard("WorkerUp")
        assert host.heard == ["Hello", "WorkerUp"]
        uplink.leave("done")
        await host.until_heard("Goodbye")

    run(main())


def test_who_was_not_welcomed_or_hung_up_is_not_heard(run: Callable) -> None:
    async def main() -> None:
        uplink, node, host, to_node = connected()
        assert not uplink.is_heard
        await greeted(uplink, node, host, to_node)
        assert uplink.is_heard
        uplink.leave("done")
        assert not uplink.is_heard
        gone, node, host, to_node = connected()
        await greeted(gone, node, host, to_node)
        gone.link.abort()
        assert not gone.is_heard, "though nobody has been told yet"

    run(main())


def test_workers_wait_while_the_host_does_not_read(run: Callable) -> None:
    async def main() -> None:
        writer = Writer()
        uplink, node, host, to_node = connected(writer)
        await greeted(uplink, node, host, to_node)
        to_node.pause_reading()
        uplink.tell([PRINTED, PRINTED])
        await writer.until(held=True)
        to_node.resume_reading()
        await writer.until(held=False)
        assert host.heard[1:] == ["TaskPrinted", "TaskPrinted"]

    run(main())


def test_what_the_host_said_before_it_hung_up_is_the_reason(run: Callable) -> None:
    async def main() -> None:
        uplink, *_ = connected()
        uplink.parting = ClusterLost("the host is stopping")
        uplink.end(None)
        uplink.end(ClusterLost("later"))
        assert str(await uplink.lost) == "the host is stopping"

    run(main())
