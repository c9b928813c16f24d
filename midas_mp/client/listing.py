"""Asks a host once which nodes are there: ``midas workers``."""

from __future__ import annotations

import asyncio
import os
import uuid

from midas_mp import __version__
from midas_mp.client.line import Line
from midas_mp.errors import MidasError
from midas_mp.transport.link import Dial
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Hello,
    ListNodes,
    NodeReport,
    NodesListed,
    Role,
)


async def list_nodes(dial: Dial) -> list[NodeReport]:
    """Every node with a registered worker, by name.

    Raises:
        PeerRefused: the host does not want us, or is of another version.
        ProtocolError: what answers there is no host.
        WorldError: nobody answers, or the connection ended before the answer came.
    """
    answer = _Answer()
    line = Line(answer)
    node_id = uuid.uuid4().hex
    await line.open(
        dial, Hello(PROTOCOL_VERSION, Role.CLIENT, __version__, node_id, f"asker-{os.getpid()}")
    )
    try:
        line.say(ListNodes())
        return await answer.complete
    finally:
        line.leave("done")


class _Answer:
    """The owner of the line: gathers the parts."""

    def __init__(self) -> None:
        self.complete: asyncio.Future[list[NodeReport]] = asyncio.get_running_loop().create_future()
        self._nodes: list[NodeReport] = []

    def line_welcomed(self, line: Line) -> None: ...

    def frame_received(self, frame: Frame) -> None:
        match frame.message:
            case NodesListed(nodes=nodes, is_last=is_last):
                self._nodes += nodes
                if is_last and not self.complete.done():
                    self.complete.set_result(self._nodes)

    def line_lost(self, line: Line, error: MidasError) -> None:  # noqa: ARG002 - as its owner must
        if not self.complete.done():
            self.complete.set_exception(error)
