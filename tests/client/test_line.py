"""One connection to a host: the greeting, and who hears of its end."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import pytest

from midas_mp.client.client import Client
from midas_mp.client.line import Line
from midas_mp.errors import ClusterLost, HostUnreachable, PeerRefused, ProtocolError
from midas_mp.transport import memory, tcp
from midas_mp.transport.address import Address
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Goodbye, Refused, Role


def test_a_refused_client_hears_why(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = stage()
        connecting = asyncio.create_task(s.client.connect())
        side = await s.host.greeted()
        side.link.close(Frame(0, Refused("version", "upgrade midas_mp on the peer's machine")))
        with pytest.raises(PeerRefused, match="upgrade midas_mp") as caught:
            await connecting
        assert caught.value.refusal == "version"
        s.client.close()

    run(main())


def test_a_host_that_hangs_up_during_the_greeting_is_lost(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = stage()
        connecting = asyncio.create_task(s.client.connect())
        (await s.host.greeted()).link.abort()
        with pytest.raises(ClusterLost, match="was lost"):
            await connecting
        s.client.close()
        assert s.host.tries == 1, "who never was in does not come again by itself"

    run(main())


def test_a_host_that_is_not_there_is_told_at_once(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = stage()
        s.host.is_away = True
        with pytest.raises(HostUnreachable):
            await s.client.connect()
        s.client.close()

    run(main())


def test_a_link_that_is_lost_before_anybody_has_it_is_lost(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = stage()

        async def dial(receiver: Line, conversation: Conversation) -> memory.MemoryLink:
            link = await s.host.dial(receiver, conversation)
            link.abort()
            await s.a_while()
            return link

        client = Client(dial)
        with pytest.raises(ClusterLost, match="was lost"):
            await client.connect()
        client.close()

    run(main())


def test_what_answers_and_is_no_host_is_called_so(run: Callable) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = Address(*server.sockets[0].getsockname())
        client = Client(functools.partial(tcp.connect, address))
        with pytest.raises(ProtocolError, match=f"{address} does not answer like a Midas host"):
            await client.connect()
        client.close()
        server.close()

    run(main())


def test_a_client_may_leave_before_it_was_welcomed(run: Callable, stage: Callable) -> None:
    """Ctrl-C while the host does not answer."""

    async def main() -> None:
        s = stage()
        connecting = asyncio.create_task(s.client.connect())
        side = await s.host.greeted()
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        s.client.close()
        s.client.close()
        await side.until(lambda: side.is_lost)
        assert side.heard(Goodbye) == []

    run(main())


def test_an_answer_that_crosses_the_leaving_is_ignored(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        for answer in ("welcome", "loss"):
            s = stage()
            connecting = asyncio.create_task(s.client.connect())
            side = await s.host.greeted()
            if answer == "welcome":
                side.welcome()
            else:
                side.link.abort()
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            s.client.close()
            await side.until(lambda side=side: side.is_lost)

    run(main())


def test_nothing_is_heard_after_the_line_was_left(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.submit(0)
        await s.side.until(s.side.submitted)
        told = list(s.observer.told)
        s.side.finish(s.job, 0)
        s.client.close()
        await s.side.hear(Goodbye)
        assert s.observer.told == told
        assert s.side.heard(Goodbye) == [Goodbye("done")]

    run(main())


def test_a_line_has_the_role_that_it_is_opened_in(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.job.share(0, [b"x"])
        s.client.upload(s.job._shared, 0)
        side = await s.host.greeted(Role.BULK)
        assert side.frames[0].message.node_id == s.side.frames[0].message.node_id == "c0ffee"
        s.client.close()

    run(main())
