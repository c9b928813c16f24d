"""One question to a host, and its answer: what there is to do, and what shall stand still."""

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
    AskPause,
    Hello,
    JobReport,
    JobsListed,
    ListJobs,
    PauseAnswered,
    Role,
)

_Answer = JobsListed | PauseAnswered


async def ask_jobs(dial: Dial) -> list[JobReport]:
    """The jobs of a host, oldest first.

    Raises:
        MidasError: see ``Line.open``; ClusterLost where the host went away instead of answering.
    """
    answers = await _Asker(ListJobs()).ask(dial)
    return [job for answer in answers if isinstance(answer, JobsListed) for job in answer.jobs]


async def ask_pause(
    dial: Dial, target: str, *, is_paused: bool, node_id: str | None = None
) -> PauseAnswered:
    """Has a job, a node or a worker stand still, or go on.

    Args:
        dial: how to reach the host.
        target: the id of a job, or the name of a node or a worker.
        is_paused: whether it is to stand still.
        node_id: who asks; random if None.

    Raises:
        MidasError: see ``Line.open``; ClusterLost where the host went away instead of answering.
    """
    (answer,) = await _Asker(AskPause(target, is_paused)).ask(dial, node_id)
    assert isinstance(answer, PauseAnswered)
    return answer


class _Asker:
    """The owner of the line on which one thing is asked."""

    def __init__(self, question: ListJobs | AskPause) -> None:
        self._question = question
        self._answers: list[_Answer] = []
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask(self, dial: Dial, node_id: str | None = None) -> list[_Answer]:
        line = Line(self)
        name = f"client-{os.getpid()}"
        try:
            own_id = node_id or uuid.uuid4().hex
            hello = Hello(PROTOCOL_VERSION, Role.CLIENT, __version__, own_id, name)
            await line.open(dial, hello)
            await self._answered
        finally:
            line.leave("answered")
            if self._answered.done() and not self._answered.cancelled():
                self._answered.exception()  # nobody may be left to see it
        return self._answers

    def line_welcomed(self, line: Line) -> None:
        line.say(self._question)

    def frame_received(self, frame: Frame) -> None:
        message = frame.message
        if isinstance(message, JobsListed | PauseAnswered) and not self._answered.done():
            self._answers.append(message)
            if isinstance(message, PauseAnswered) or message.is_last:
                self._answered.set_result(None)

    def line_lost(self, _line: Line, error: MidasError) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)
