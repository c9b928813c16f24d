"""What is said twice is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import SimulatedLink, Site
from midas_mp.testing.network import Network, Weather
from midas_mp.testing.trace import Trace
from midas_mp.testing.witness import Witness
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Call, Outcome, Role, RunTasks, Status, TaskResults


class Pair:
    def __init__(self) -> None:
        trace = Trace(lambda: 0.0, None)
        network = Network(Weather(), Chance("test"), trace)
        self.client = self._link(network, Role.CLIENT, Role.HOST)
        self.other = self._link(network, Role.CLIENT, Role.HOST)
        self.host = self._link(network, Role.HOST, None)
        self.launcher = self._link(network, Role.LAUNCHER, Role.HOST)
        self.objections: list[str] = []
        self.witness = Witness(self.objections.append)

    def _link(self, network: Network, local: Role, remote: Role | None) -> SimulatedLink:
        conversation = Conversation(local, remote)
        return SimulatedLink(network, Site(str(local)), "x", self, conversation)  # type: ignore[arg-type]


def results(*indices: int, job: str = "j") -> Frame:
    outcomes = [Outcome(index, 0, Status.OK, 1) for index in indices]
    return Frame(0, TaskResults(job, 0, "w", outcomes))


def calls(*indices: int) -> Frame:
    return Frame(0, RunTasks("j", 0, 9, "ab" * 32, "execute_code", [Call(i) for i in indices]))


@pytest.mark.parametrize(
    ("say", "objections"),
    [
        (lambda w, p: w(p.client, [results(1, 2), results(3)]), 0),
        (lambda w, p: w(p.client, [results(1), results(1, job="k")]), 0),
        (lambda w, p: [w(p.client, [results(1)]), w(p.other, [results(1)])], 0),
        (lambda w, p: w(p.client, [results(1, 2), results(2)]), 1),
        (lambda w, p: w(p.client, [results(1, 1)]), 1),
        (lambda w, p: w(p.host, [calls(1, 2), calls(3)]), 0),
        (lambda w, p: [w(p.host, [calls(1)]), w(p.host, [calls(1)])], 1),
        (lambda w, p: [w(p.launcher, [calls(1)]), w(p.launcher, [calls(1)])], 0),
    ],
)
def test_on_one_connection_things_are_said_once(
    play: Callable, say: Callable, objections: int
) -> None:
    async def main() -> None:
        pair = Pair()
        say(pair.witness, pair)
        assert len(pair.objections) == objections

    play(main())


def test_a_connection_that_makes_mistakes_may_repeat(play: Callable) -> None:
    async def main() -> None:
        pair = Pair()
        pair.client.site.is_glitched = True
        pair.witness(pair.client, [results(1), results(1)])
        await asyncio.sleep(0)
        assert pair.objections == []

    play(main())
