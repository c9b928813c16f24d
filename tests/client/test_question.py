"""One question to a host that the test plays, and its answer."""

from __future__ import annotations

import asyncio
import getpass
import re
from collections.abc import Callable

import pytest

from midas_mp.client.question import control, list_jobs, list_nodes
from midas_mp.errors import ClusterLost, HostUnreachable, PeerRefused
from midas_mp.transport import memory
from midas_mp.transport.link import Link, Receiver
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.management import (
    Action,
    Control,
    ControlAnswered,
    ControlResult,
    JobReport,
    JobsListed,
    ListJobs,
    ListNodes,
    NodeReport,
    NodesListed,
)
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Goodbye,
    Heartbeat,
    Hello,
    Refused,
    Role,
    Welcome,
)
from midas_mp.wire.vocabulary import AnyMessage

WELCOME = Welcome(PROTOCOL_VERSION, "0", "somebody", 0)


class Host:
    """Answers each message with those of its script, and hangs up after a None."""

    def __init__(self, *answers: AnyMessage | None) -> None:
        self.heard: list[AnyMessage] = []
        self._answers = list(answers)

    async def dial(self, receiver: Receiver, conversation: Conversation) -> Link:
        link, _ = memory.pair(receiver, conversation, self, Conversation(Role.HOST, None))
        return link

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        for frame in frames:
            self.heard.append(frame.message)
            while self._answers:
                answer = self._answers.pop(0)
                if answer is None:
                    link.abort()
                    return
                if isinstance(answer, Refused):
                    link.close(Frame(0, answer))
                    return
                link.send([Frame(0, answer)])
                if isinstance(answer, Welcome):
                    break

    def link_lost(self, _link: Link, _error: object) -> None:
        self.heard.append(Goodbye("lost"))


def test_what_is_asked_is_answered_and_the_line_left(run: Callable) -> None:
    async def main() -> None:
        answer = ControlAnswered(ControlResult.DONE, "it stands still")
        host = Host(WELCOME, Heartbeat(), answer)
        assert await control(host.dial, Action.PAUSE, "node", node_id="ab12") == answer
        await asyncio.sleep(0)
        hello, question, goodbye = host.heard[:3]
        assert isinstance(hello, Hello)
        assert (hello.role, hello.node_id) == (Role.CLIENT, "ab12")
        assert re.fullmatch(r"\S+@\S+", hello.name), "it says who asks"
        assert question == Control(Action.PAUSE, "node")
        assert isinstance(goodbye, Goodbye)

    run(main())


def test_jobs_come_in_parts(run: Callable) -> None:
    async def main() -> None:
        jobs = [JobReport(name, "", "client", "started", 1, 2, 3) for name in "abc"]
        host = Host(
            WELCOME, JobsListed(jobs[:2], is_last=False), JobsListed(jobs[2:], is_last=True)
        )
        assert await list_jobs(host.dial) == jobs
        assert host.heard[1] == ListJobs()

    run(main())


def test_a_host_that_goes_away_instead_is_told(run: Callable) -> None:
    async def main() -> None:
        with pytest.raises(ClusterLost):
            await list_jobs(Host(WELCOME, None).dial)
        with pytest.raises(PeerRefused, match="no"):
            await list_jobs(Host(Refused("role", "no")).dial)

    run(main())


def test_nobody_there_is_told(run: Callable) -> None:
    async def dial(_receiver: Receiver, _conversation: Conversation) -> Link:
        raise HostUnreachable("nobody there")

    async def main() -> None:
        with pytest.raises(HostUnreachable):
            await list_jobs(dial)

    run(main())


NODES = [NodeReport(f"n{i}", "0", 2, 1, 3, ["luajit"], "clock, jit") for i in range(3)]


def test_the_parts_of_an_answer_are_put_together(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.let_in()
        asking = asyncio.create_task(list_nodes(s.host.dial))
        host = await s.host.welcomed()
        await host.hear(ListNodes)
        host.say(NodesListed(NODES[:2], is_last=False))
        host.say(NodesListed(NODES[2:], is_last=True))
        assert await asking == NODES
        await host.hear(Goodbye)
        s.client.close()

    run(main())


def test_a_host_that_goes_before_it_has_answered_is_told(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.let_in()
        asking = asyncio.create_task(list_nodes(s.host.dial))
        host = await s.host.welcomed()
        await host.hear(ListNodes)
        host.say(NodesListed(NODES, is_last=False))
        host.link.abort()
        with pytest.raises(ClusterLost):
            await asking
        s.client.close()
        s.host.is_away = True
        with pytest.raises(HostUnreachable):
            await list_nodes(s.host.dial)

    run(main())


def test_a_user_without_a_name_asks_as_somebody(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs under a number."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)

    async def main() -> None:
        host = Host(WELCOME, NodesListed([], is_last=True))
        assert await list_nodes(host.dial) == []
        hello = host.heard[0]
        assert isinstance(hello, Hello)
        assert hello.name.startswith("somebody@")

    run(main())
