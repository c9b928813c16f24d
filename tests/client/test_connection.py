"""A client whose connection is lost: it comes back, and knows when it is no use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp.client import connection
from midas_mp.errors import ClusterLost, InternalError, PeerRefused, ProtocolError
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import Goodbye, Hello, OpenJob, PutBundle, Refused


@pytest.mark.parametrize("how", ["broken", "goodbye", "hung up"])
def test_it_comes_back_as_the_same_client_and_says_so(
    how: str, run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        first = s.side
        if how == "goodbye":
            first.link.close(Frame(0, Goodbye("the host is stopping")))
        elif how == "broken":
            first.link.abort()
        else:
            first.link.close()
        s.side = await s.host.welcomed()
        opened = await s.side.hear(OpenJob)
        assert opened == first.heard(OpenJob), "the very same job"
        assert await s.side.hear(PutBundle) == first.heard(PutBundle)
        assert s.side.heard(Hello) == first.heard(Hello)
        lost, back = s.observer.notices()
        assert lost.startswith("the connection to the host was lost")
        assert lost.endswith("; trying again")
        assert ("the host is stopping" in lost) == (how == "goodbye")
        assert back == "connected to the host again"
        s.client.close()

    run(main())


@pytest.mark.parametrize("code", ["fault", "replaced"])
def test_it_does_not_come_back_where_that_is_no_use(
    code: str, run: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started()
        s.side.link.close(Frame(0, Goodbye("because", code)))
        error = await s.observer.lost
        assert type(error) is (ProtocolError if code == "fault" else ClusterLost)
        assert "because" in str(error)
        late, of_late = s.open_job()
        with pytest.raises(type(error)):
            await late.wait_started()
        assert await of_late.lost is error
        assert s.host.tries == 1
        s.client.close()

    run(main())


def test_a_refusal_on_return_is_final(run: Callable, stage: Callable) -> None:
    """Such as by a host that was upgraded meanwhile."""

    async def main() -> None:
        s = await stage.started()
        s.side.link.abort()
        (await s.host.greeted()).link.close(Frame(0, Refused("version", "upgrade")))
        assert type(await s.observer.lost) is PeerRefused
        s.client.close()

    run(main())


def test_it_tries_until_the_host_is_there(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()
        s.host.is_away = True
        s.side.link.abort()
        while s.host.tries < 5:  # noqa: ASYNC110 - each turn is a try
            await asyncio.sleep(0)
        s.host.is_away = False
        (await s.host.greeted()).link.abort()
        s.side = await s.host.welcomed()
        await s.side.hear(OpenJob)
        assert len(s.observer.notices()) == 2
        s.client.close()

    run(main())


def test_a_host_that_stays_away_is_given_up(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(patience_s=0.05)
        waiting = s.submit(0, 1, 2, 3, 4)
        s.host.is_away = True
        s.side.link.abort()
        error = await s.observer.lost
        assert type(error) is ClusterLost
        assert "nobody was there again within 0.05 s (no host listens there)" in str(error)
        with pytest.raises(ClusterLost):
            await s.submit(5)
        await asyncio.gather(waiting, return_exceptions=True)
        tries = s.host.tries
        await s.a_while()
        assert s.host.tries == tries
        s.job.acknowledge(0, [])
        s.job.close()
        s.client.close()

    run(main())


def test_a_host_that_cannot_come_again_is_not_looked_for(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(patience_s=0)
        s.side.link.abort()
        assert "was lost" in str(await s.observer.lost)
        assert s.observer.notices() == []
        assert s.host.tries == 1
        s.client.close()

    run(main())


def test_a_connection_that_breaks_over_and_over_uses_up_the_patience(
    run: Callable, stage: Callable
) -> None:
    """Else something in what is said on return could break it for ever."""

    async def main() -> None:
        s = await stage.started(patience_s=0.05)
        while not s.observer.lost.done():
            s.side.link.abort()
            returned = asyncio.ensure_future(s.host.welcomed())
            await asyncio.wait({returned, s.observer.lost}, return_when=asyncio.FIRST_COMPLETED)
            if returned.done():
                s.side = returned.result()
                await s.side.hear(OpenJob)
            returned.cancel()
        assert type(s.observer.lost.result()) is ClusterLost
        s.client.close()

    run(main())


def test_one_that_was_steady_gives_all_its_patience_again(
    run: Callable, stage: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "STEADY_S", 0.0)

    async def main() -> None:
        s = await stage.started(patience_s=0.05)
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.2
        while loop.time() < until:
            await s.cut()
            await s.side.hear(OpenJob)
        assert not s.observer.lost.done()
        s.client.close()

    run(main())


def test_closing_while_away_ends_at_once(run: Callable, stage: Callable) -> None:
    """Ctrl-C while the host is looked for."""

    async def main() -> None:
        s = await stage.started()
        s.host.is_away = True
        s.side.link.abort()
        while s.host.tries < 3:  # noqa: ASYNC110 - each turn is a try
            await asyncio.sleep(0)
        s.client.close()
        tries = s.host.tries
        await s.a_while()
        assert s.host.tries <= tries + 1
        assert not s.observer.lost.done()

    run(main())


def test_a_bug_on_the_way_back_is_heard_of(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started()

        async def dial(*_: object) -> None:
            raise ZeroDivisionError

        s.client._connection._dial = dial
        s.side.link.abort()
        assert type(await s.observer.lost) is InternalError
        s.client.close()

    run(main())
