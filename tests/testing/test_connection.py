"""Simulated connections: they keep the contract of every link, and break as sockets do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from midas_mp.errors import ConnectionLost, InternalError, MidasError, ProtocolError
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import SimulatedLink, Site
from midas_mp.testing.network import Network, Weather
from midas_mp.testing.trace import Trace
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    EndJob,
    Goodbye,
    Hello,
    JobEnded,
    Role,
    TaskPrinted,
    Welcome,
)

HELLO = Frame(0, Hello(PROTOCOL_VERSION, Role.CLIENT, "0", "ab", "client"))
WELCOME = Frame(0, Welcome(PROTOCOL_VERSION, "0", "client", 0))


class Ear:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.link: Link
        self.heard: list[Frame] = []
        self.losses: list[MidasError | None] = []
        self.fails_on: type | None = None

    def frames_received(self, link: Link, frames: list[Frame]) -> None:
        assert self.losses == []
        self.heard += frames
        if self.fails_on and any(isinstance(frame.message, self.fails_on) for frame in frames):
            raise RuntimeError("a bug")

    def link_lost(self, link: Link, error: MidasError | None) -> None:
        self.losses.append(error)

    def words(self) -> list[str]:
        return [type(frame.message).__name__ for frame in self.heard]


class Pair:
    """A client and a host that have greeted each other."""

    def __init__(self, **weather: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.network = Network(Weather(**weather), Chance("test"), Trace(self.loop.time, None))
        self.host, self.client = Site("host"), Site("client")
        self.host_ear, self.client_ear = Ear(), Ear()
        self.network.listen(self.host, lambda: (self.host_ear, Conversation(Role.HOST, None)))

    async def greet(self) -> tuple[SimulatedLink, SimulatedLink]:
        dial = self.network.dial_from(self.client)
        to_host = await dial(self.client_ear, Conversation(Role.CLIENT, Role.HOST))
        (to_client,) = self.network.links()
        assert isinstance(to_host, SimulatedLink)
        to_host.send([HELLO])
        await asyncio.sleep(2)
        to_client.send([WELCOME])
        await asyncio.sleep(4)
        return to_host, to_client


Play = Callable[[Coroutine[Any, Any, Any]], Any]


def end_job(text: str) -> Frame:
    return Frame(0, EndJob("job", text))


def test_frames_arrive_in_order_later_and_as_other_objects(play: Play) -> None:
    async def main() -> None:
        pair = Pair(latency_s=0.1, spike_chance=0.3, spike_s=2.0, split_chance=0.5)
        to_host, _ = await pair.greet()
        sent = [end_job(str(number)) for number in range(50)]
        for frame in sent:
            to_host.send([frame])
        assert pair.host_ear.words() == ["Hello"]
        await asyncio.sleep(60)
        arrived = pair.host_ear.heard[1:]
        assert [frame.message for frame in arrived] == [frame.message for frame in sent]
        assert arrived[0].message is not sent[0].message

    play(main())


def test_buffers_come_along(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        _, to_client = await pair.greet()
        to_client.send([Frame(0, TaskPrinted("job", 0, 1, "w"), [b"text"])])
        await asyncio.sleep(1)
        assert [bytes(buffer) for buffer in pair.client_ear.heard[-1].buffers] == [b"text"]

    play(main())


def test_what_was_said_before_closing_arrives_and_both_sides_end_in_order(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, to_client = await pair.greet()
        to_host.send([end_job("a")])
        to_host.close(Frame(0, Goodbye("done")))
        assert to_host.is_closed
        to_host.send([end_job("ignored")])
        await asyncio.sleep(60)
        assert pair.host_ear.words() == ["Hello", "EndJob", "Goodbye"]
        assert pair.host_ear.losses == pair.client_ear.losses == [None]
        assert to_client.is_closed

    play(main())


def test_aborting_loses_what_is_under_way(play: Play) -> None:
    async def main() -> None:
        pair = Pair(latency_s=1.0)
        to_host, _ = await pair.greet()
        to_host.send([end_job("lost")])
        to_host.abort()
        await asyncio.sleep(60)
        assert pair.host_ear.words() == ["Hello"]
        assert pair.client_ear.losses == [None]
        (error,) = pair.host_ear.losses
        assert isinstance(error, ConnectionLost)

    play(main())


def test_a_cut_loses_what_is_under_way_and_each_side_notices_in_its_time(play: Play) -> None:
    async def main() -> None:
        pair = Pair(latency_s=1.0)
        to_host, to_client = await pair.greet()
        to_host.send([end_job("lost")])
        pair.network.cut(to_client, 3, 20)
        await asyncio.sleep(4)
        assert len(pair.host_ear.losses) == 1
        assert pair.client_ear.losses == []
        to_host.send([end_job("also lost")])
        await asyncio.sleep(20)
        assert pair.host_ear.words() == ["Hello"]
        assert [type(error) for error in pair.client_ear.losses] == [ConnectionLost]

    play(main())


def test_a_word_out_of_place_is_the_senders_fault_and_ends_the_link(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, _ = await pair.greet()
        twice = [HELLO.message]
        to_host.conversation.sending = lambda frame: None  # type: ignore[method-assign]
        to_host.send([Frame(0, message) for message in twice])
        await asyncio.sleep(60)
        assert [type(error) for error in pair.host_ear.losses] == [ProtocolError]
        assert [type(error) for error in pair.client_ear.losses] == [ConnectionLost]

    play(main())


def test_a_receiver_that_raises_is_a_bug_that_is_heard_of(play: Play, loop: Any) -> None:
    heard: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: heard.append(context))

    async def main() -> None:
        pair = Pair()
        to_host, _ = await pair.greet()
        pair.host_ear.fails_on = EndJob
        to_host.send([end_job("a")])
        await asyncio.sleep(60)
        assert [type(error) for error in pair.host_ear.losses] == [InternalError]

    play(main())
    assert [str(context["exception"]) for context in heard] == ["a bug"]


def test_a_peer_that_does_not_greet_is_cut_off(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        dial = pair.network.dial_from(pair.client)
        await dial(pair.client_ear, Conversation(Role.CLIENT, Role.HOST))
        await asyncio.sleep(60)
        (error,) = pair.host_ear.losses
        assert "did not greet" in str(error)
        assert len(pair.client_ear.losses) == 1

    play(main())


def test_a_frozen_site_hears_and_says_nothing_until_it_thaws(play: Play, loop: Any) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, to_client = await pair.greet()
        pair.client.frozen_until = loop.time() + 30
        to_client.send([Frame(0, JobEnded("job", "x", "y"))])
        to_host.send([end_job("a")])
        await asyncio.sleep(29)
        assert pair.client_ear.words() == ["Welcome"]
        assert pair.host_ear.words() == ["Hello"]
        await asyncio.sleep(2)
        assert pair.client_ear.words() == ["Welcome", "JobEnded"]
        assert pair.host_ear.words() == ["Hello", "EndJob"]

    play(main())


def test_whose_host_freezes_for_long_notices_and_finds_it_again(play: Play, loop: Any) -> None:
    async def main() -> None:
        pair = Pair()
        await pair.greet()
        pair.host.frozen_until = loop.time() + 8
        await asyncio.sleep(100)
        assert pair.client_ear.losses == []
        pair.host.frozen_until = loop.time() + 40
        await asyncio.sleep(15)
        (error,) = pair.client_ear.losses
        assert "nothing was heard for 12 s" in str(error)
        assert pair.host_ear.losses == []
        await asyncio.sleep(30)
        assert len(pair.host_ear.losses) == 1
        pair.host_ear, pair.client_ear = Ear(), Ear()
        await pair.greet()

    play(main())


def test_what_waits_for_a_site_to_thaw_is_there_soon_when_it_thaws_early(
    play: Play, loop: Any
) -> None:
    async def main() -> None:
        pair = Pair()
        _, to_client = await pair.greet()
        pair.client.frozen_until = loop.time() + 1_000
        to_client.send([Frame(0, JobEnded("job", "x", "y"))])
        done: list[float] = []
        pair.client.soon(1, lambda: done.append(loop.time()))
        await asyncio.sleep(10)
        assert (pair.client_ear.words(), done) == (["Welcome"], [])
        pair.client.frozen_until = loop.time()
        await asyncio.sleep(1.1)
        assert pair.client_ear.words() == ["Welcome", "JobEnded"]
        assert done

    play(main())


def test_a_dead_site_hears_nothing_more(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, to_client = await pair.greet()
        to_client.send([Frame(0, JobEnded("job", "x", "y"))])
        pair.network.bury(pair.client, is_silent=False)
        await to_host.drained()
        await asyncio.sleep(60)
        assert pair.client_ear.words() == ["Welcome"]
        assert pair.client_ear.losses == []
        assert [type(error) for error in pair.host_ear.losses] == [ConnectionLost]

    play(main())


def test_nothing_is_read_while_reading_is_paused(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, to_client = await pair.greet()
        to_client.pause_reading()
        to_host.send([end_job("a")])
        await asyncio.sleep(5)
        assert pair.host_ear.words() == ["Hello"]
        to_client.resume_reading()
        await asyncio.sleep(5)
        assert pair.host_ear.words() == ["Hello", "EndJob"]

    play(main())


def test_drained_waits_until_little_is_unsent(play: Play, loop: Any) -> None:
    async def main() -> None:
        pair = Pair(latency_s=1.0, byte_weight=2**20)
        to_host, _ = await pair.greet()
        await to_host.drained()
        began = loop.time()
        to_host.send([end_job("a")])
        assert to_host.unsent_bytes > 2**20
        await to_host.drained()
        assert loop.time() - began >= 0.5
        assert to_host.unsent_bytes == 0

    play(main())


def test_drained_of_a_link_that_closes_waits_for_its_end(play: Play) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, _ = await pair.greet()
        to_host.close()
        await to_host.drained()
        assert pair.client_ear.losses == [None]

    play(main())


@pytest.mark.parametrize("seconds", [1.0, 20.0])
def test_the_close_of_a_link_whose_peer_is_frozen_lingers_but_not_for_ever(
    play: Play, loop: Any, seconds: float
) -> None:
    async def main() -> None:
        pair = Pair()
        to_host, _ = await pair.greet()
        pair.host.frozen_until = loop.time() + seconds
        began = loop.time()
        to_host.close(Frame(0, Goodbye("done")))
        await to_host.drained()
        assert loop.time() - began == pytest.approx(min(seconds, 5), abs=0.1)

    play(main())
