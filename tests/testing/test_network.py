"""Who reaches whom in a simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from midas_mp.errors import HostUnreachable, MidasError
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import Site
from midas_mp.testing.network import Network, Weather
from midas_mp.testing.trace import Trace
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import PROTOCOL_VERSION, EndJob, Hello, Role, Welcome

WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0", "far", 0))
Play = Callable[[Coroutine[Any, Any, Any]], Any]


class Ear:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.ended: list[str] = []
        self.losses: list[MidasError | None] = []

    def frames_received(self, _link: Link, frames: list[Frame]) -> None:
        self.ended += [frame.message.job for frame in frames if isinstance(frame.message, EndJob)]
        self.names += [frame.message.name for frame in frames if isinstance(frame.message, Hello)]

    def link_lost(self, _link: Link, error: MidasError | None) -> None:
        self.losses.append(error)


def network(**weather: Any) -> Network:
    loop = asyncio.get_running_loop()
    return Network(Weather(**weather), Chance("test"), Trace(loop.time, None))


def hello(name: str) -> Frame:
    return Frame(0, Hello(PROTOCOL_VERSION, Role.CLIENT, "0", "ab", name))


async def call(net: Network, site: Site) -> Link:
    return await net.dial_from(site)(Ear(), Conversation(Role.CLIENT, Role.HOST))


def test_nobody_answers_before_somebody_listens_or_after_it_died(play: Play) -> None:
    async def main() -> None:
        net, host, ear = network(), Site("host"), Ear()
        with pytest.raises(HostUnreachable):
            await call(net, Site("a"))
        net.listen(host, lambda: (ear, Conversation(Role.HOST, None)))
        (await call(net, Site("a"))).send([hello("a")])
        await asyncio.sleep(1)
        assert ear.names == ["a"]
        net.bury(host, is_silent=False)
        with pytest.raises(HostUnreachable):
            await call(net, Site("a"))

    play(main())


def test_connections_are_refused_for_a_while(play: Play, loop: Any) -> None:
    async def main() -> None:
        net = network()
        net.listen(Site("host"), lambda: (Ear(), Conversation(Role.HOST, None)))
        net.refuses_until = loop.time() + 5
        with pytest.raises(HostUnreachable):
            await call(net, Site("a"))
        await asyncio.sleep(5)
        await call(net, Site("a"))

    play(main())


def test_a_short_partition_holds_things_up_and_a_long_one_cuts(play: Play) -> None:
    async def main() -> None:
        net, ears = network(), [Ear(), Ear()]
        waiting = iter(ears)
        net.listen(Site("host"), lambda: (next(waiting), Conversation(Role.HOST, None)))
        near, far = await call(net, Site("near")), await call(net, Site("far"))
        near.send([hello("near")])
        net.part(["far"], 3)
        far.send([hello("far")])
        await asyncio.sleep(2)
        assert [ear.names for ear in ears] == [["near"], []]
        await asyncio.sleep(2)
        assert [ear.names for ear in ears] == [["near"], ["far"]]
        net.part(["far"], 30)
        with pytest.raises(HostUnreachable):
            await call(net, Site("far"))
        await asyncio.sleep(60)
        assert len(ears[1].losses) == 1

    play(main())


@pytest.mark.parametrize("deaf", [True, False])
def test_a_partition_may_be_one_way_and_nobody_tells(play: Play, *, deaf: bool) -> None:
    async def main() -> None:
        net, host, far = network(), Ear(), Ear()
        net.listen(Site("host"), lambda: (host, Conversation(Role.HOST, None)))
        dial = net.dial_from(Site("far"))
        to_host = await dial(far, Conversation(Role.CLIENT, Role.HOST))
        (to_far,) = net.links()
        to_host.send([hello("far")])
        await asyncio.sleep(1)
        to_far.send([WELCOME])
        await asyncio.sleep(1)
        net.part(["far"], 60, deaf=deaf, is_told=False)
        to_host.send([Frame(0, EndJob("job"))])
        with pytest.raises(HostUnreachable):
            await dial(Ear(), Conversation(Role.CLIENT, Role.HOST))
        await asyncio.sleep(5)
        assert host.ended == (["job"] if deaf else [])
        await asyncio.sleep(10)
        assert len(far.losses) == int(deaf), "it hears nothing, or its host does not"
        await asyncio.sleep(60)
        assert len(far.losses) == int(deaf)
        assert len(host.losses) == int(deaf)

    play(main())


@pytest.mark.parametrize("number", range(6))
def test_a_glitch_garbles_one_frame_and_the_connection_breaks_within_a_second(
    play: Play, number: int
) -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        trace = Trace(loop.time, None)
        net = Network(Weather(glitch_chance=2.0), Chance(f"glitch {number}"), trace)
        host, ear, site = Site("host"), Ear(), Site("a")
        net.listen(host, lambda: (ear, Conversation(Role.HOST, None)))
        link = await call(net, site)
        link.conversation.sending = lambda frame: None  # type: ignore[method-assign]
        (other,) = net.links()
        other.conversation.receive = lambda frame: None  # type: ignore[method-assign]
        for first in range(0, 200, 2):
            link.send([hello(str(first)), hello(str(first + 1))])
            await asyncio.sleep(0.001)
        await asyncio.sleep(3)
        assert trace.counts["glitches"] == 1
        assert trace.counts["cuts"] == 1
        assert site.is_glitched
        assert host.is_glitched
        assert len(ear.losses) == 1
        return ear.names

    names = play(main())
    assert names != [str(position) for position in range(len(names))]


def test_when_all_is_healed_nothing_goes_wrong_any_more(play: Play, loop: Any) -> None:
    async def main() -> None:
        net, ear = network(glitch_chance=2.0, spike_chance=1.0, spike_s=100.0), Ear()
        net.listen(Site("host"), lambda: (ear, Conversation(Role.HOST, None)))
        net.refuses_until = loop.time() + 1_000
        net.part(["a"], 1_000)
        net.heal()
        (await call(net, Site("a"))).send([hello("a")])
        await asyncio.sleep(1)
        assert ear.names == ["a"]

    play(main())
