"""A host that answers each frame of a launcher with a small one, in a process of its own.

    python -m benchmarks.echo_host plain|tls

It says on stdout how to reach it, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from midas_mp import __version__
from midas_mp.join import identity, tls
from midas_mp.transport import loop, tcp
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge
from midas_mp.transport.reception import Entry
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.joining import Key
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, RecallTasks, Role, Welcome

KEY = Key.of(b"known to both ends of a benchmark")

WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, __version__, "bench", 0))
HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.LAUNCHER, __version__, "ab", "bench"))
ANSWER = Frame(1, RecallTasks(1))


class Echo:
    """Also its own keyring."""

    def look_up(self, _key: str, _role: Role) -> Key:
        return KEY

    def frames_received(self, link: Any, frames: list[Frame]) -> None:
        for frame in frames:
            link.send([WELCOME if isinstance(frame.message, Hello) else ANSWER])

    def link_lost(self, link: Any, error: Exception | None) -> None:
        pass


async def serve(way: str, folder: Path) -> None:
    echo = Echo()
    entry, certificate = Entry(local=echo), b""
    if way == "tls":
        mine = identity.Identity(folder / "host.pem")
        mine.certificate.write_bytes(identity.make_pem())
        certificate = mine.fingerprint()
        context = tls.host_context(mine, None)
        entry = Entry(tokens=echo, tls=context, certificate=certificate)
    listener = await tcp.listen(
        Address(port=0), lambda: (echo, Conversation(Role.HOST, None)), entry=entry
    )
    print(listener.address, certificate.hex(), flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    await ended.wait()


class Peer:
    """A launcher at that host, which counts the answers."""

    def __init__(self) -> None:
        self._answered = asyncio.Event()
        self._due = 0
        self.link: Any = None
        self._dial: Any = None

    async def join(self, dial: Any) -> None:
        """From dialling to the answer to its greeting."""
        self._dial = dial
        self.link = await dial(self, Conversation(Role.LAUNCHER, Role.HOST))
        await self.say(HELLO)

    async def join_again(self) -> None:
        """With another connection in the place of this one."""
        self.link.abort()
        await self.join(self._dial)

    def frames_received(self, _link: Any, frames: list[Frame]) -> None:
        self._due -= len(frames)
        if self._due <= 0:
            self._answered.set()

    def link_lost(self, _link: Any, error: Exception | None) -> None:
        if error is not None:
            raise error

    async def say(self, frame: Frame, count: int = 1) -> None:
        """So many times, and waits for all answers."""
        self._answered.clear()
        self._due = count
        for _ in range(count):
            self.link.send([frame])
            await self.link.drained()
        await self._answered.wait()


def with_peer(way: str, work: Callable[[Peer], Any]) -> Any:
    """What comes of the work of a peer of a fresh host."""
    command = [sys.executable, "-m", "benchmarks.echo_host", way]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdout is not None
        assert host.stdin is not None
        where, _, certificate = host.stdout.readline().strip().partition(" ")
        badge = Badge(KEY)
        if certificate:
            badge = Badge(KEY, tls.peer_context(None, None), bytes.fromhex(certificate))

        async def main() -> Any:
            peer = Peer()
            await peer.join(partial(tcp.connect, Address.parse(where), badge=badge))
            result = await work(peer)
            peer.link.abort()
            return result

        try:
            return loop.run(main())
        finally:
            host.stdin.close()


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        loop.run(serve(sys.argv[1], Path(name)))
