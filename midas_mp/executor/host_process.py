"""Host and workers of this machine in a process of their own, reached over socketpairs.

For programs whose Python threads compute: their event loop then only reads and writes frames, and
who decides what runs next does not wait for the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Final

from midas_mp.blobs import peers
from midas_mp.blobs.sharing import Sharing
from midas_mp.errors import MidasError, ProcessLost
from midas_mp.executor import tether
from midas_mp.executor.cluster_process import MODULE, settings_word
from midas_mp.executor.tether import TetheredProcess
from midas_mp.participant.child import SOCKET_BUFFER_BYTES
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.transport import stream
from midas_mp.transport.link import Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Role

END_TIMEOUT_S: Final = 1.0
"""From the end of a connection to the end of the process, if that is why."""


class HostProcess:
    """The process, and how to dial its host.

    Args:
        settings: of the node that its workers are.

    Raises:
        ProcessLost: it cannot be started.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = TetheredProcess("the host process", MODULE, "both", settings_word(settings))
        self._ended: asyncio.Future[ProcessLost] = self._loop.create_future()
        self._loop.add_reader(self._process.fileno(), self._listen)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __call__(self, receiver: Receiver, conversation: Conversation, /) -> Link:
        """A connection to its host.

        Raises:
            ProcessLost: it has ended.
        """
        channel = None
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as on_failure:
            mine, other = socket.socketpair()
            on_failure.callback(mine.close)
            handed = [theirs.enter_context(other)]
            for end in (mine, other):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
            if conversation.local is Role.CLIENT:
                with contextlib.suppress(OSError):  # then large buffers are sent
                    channel, other = peers.socketpair()
                    handed.append(theirs.enter_context(other))
                    on_failure.callback(channel.close)
            self._process.hand_over(*handed)
            on_failure.pop_all()
        link = await stream.attach(
            mine, _Explained(receiver, self._ended), conversation, name=self._process.name
        )
        if channel is not None:
            link.share(Sharing(channel, link))
        return link

    async def close(self) -> None:
        """Ends it, and what it started; idempotent."""
        self._process.let_go()
        try:
            async with asyncio.timeout(tether.CLOSE_TIMEOUT_S):
                await asyncio.shield(self._ended)
        except TimeoutError:  # it is frozen
            self._process.kill()
            await self._ended
        self._process.close()

    def _listen(self) -> None:
        if not self._process.listen():
            self._loop.remove_reader(self._process.fileno())
            self._ended.set_result(self._process.ending())


class _Explained:
    """The receiver of a link to the process, told why when that ends in the middle."""

    def __init__(self, receiver: Receiver, ended: asyncio.Future[ProcessLost]) -> None:
        self._receiver = receiver
        self._ended = ended
        self._telling: asyncio.Task[None] | None = None

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        self._receiver.frames_received(link, frames)

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        self._telling = asyncio.get_running_loop().create_task(self._tell(link, error))

    async def _tell(self, link: Link, error: MidasError | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_S):
                error = await asyncio.shield(self._ended)
        self._receiver.link_lost(link, error)
