"""One question to a host, and its answer, which may come in parts."""

from __future__ import annotations

import asyncio
import getpass
import re
import socket
import uuid

from midas_mp import __version__
from midas_mp.client.line import Line
from midas_mp.errors import MidasError
from midas_mp.transport.link import Dial
from midas_mp.wire.framing import Frame
from midas_mp.wire.management import (
    Action,
    Control,
    ControlAnswered,
    JobReport,
    JobsListed,
    ListJobs,
    ListNodes,
    NodeReport,
    NodesListed,
)
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, Role

_Answer = JobsListed | NodesListed | ControlAnswered


async def list_nodes(dial: Dial) -> list[NodeReport]:
    """Every node with a registered worker, by name.

    Raises:
        PeerRefused: the host does not want us, or is of another version.
        ProtocolError: what answers there is no host.
        WorldError: nobody answers, or the connection ended before the answer came.
    """
    answers = await _Asker(ListNodes()).ask(dial)
    return [node for answer in answers if isinstance(answer, NodesListed) for node in answer.nodes]


async def list_jobs(dial: Dial) -> list[JobReport]:
    """Every job, oldest first.

    Raises:
        MidasError: see ``list_nodes``.
    """
    answers = await _Asker(ListJobs()).ask(dial)
    return [job for answer in answers if isinstance(answer, JobsListed) for job in answer.jobs]


async def control(
    dial: Dial, action: Action, target: str, *, node_id: str | None = None
) -> ControlAnswered:
    """Has a job, a node or a worker stand still, go on, or end.

    Args:
        dial: how to reach the host.
        action: which of these.
        target: the id of a job, or the name of a node or a worker.
        node_id: who asks; random if None.

    Raises:
        MidasError: see ``list_nodes``.
    """
    (answer,) = await _Asker(Control(action, target)).ask(dial, node_id)
    assert isinstance(answer, ControlAnswered)
    return answer


class _Asker:
    """The owner of the line on which one thing is asked."""

    def __init__(self, question: ListNodes | ListJobs | Control) -> None:
        self._question = question
        self._answers: list[_Answer] = []
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask(self, dial: Dial, node_id: str | None = None) -> list[_Answer]:
        line = Line(self)
        own_id = node_id or uuid.uuid4().hex
        hello = Hello(PROTOCOL_VERSION, Role.CLIENT, __version__, own_id, _own_name())
        try:
            await line.open(dial, hello)
            await self._answered
        finally:
            line.leave("done")
            if self._answered.done() and not self._answered.cancelled():
                self._answered.exception()  # nobody may be left to see it
        return self._answers

    def line_welcomed(self, line: Line) -> None:
        line.say(self._question)

    def frame_received(self, frame: Frame) -> None:
        message = frame.message
        if isinstance(message, _Answer) and not self._answered.done():
            self._answers.append(message)
            if isinstance(message, ControlAnswered) or message.is_last:
                self._answered.set_result(None)

    def line_lost(self, _line: Line, error: MidasError) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)


def _own_name() -> str:
    """Who asks, for those whose work it is: ``ann@laptop``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        user = "somebody"
    return re.sub(r"[^\w.@+-]", "-", f"{user}@{socket.gethostname()}")[:128]
