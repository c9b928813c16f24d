"""A client whose connection is lost: it comes back, and knows when it is no use."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from midas_mp import limits
from midas_mp.client.connection import STEADY_S
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


def test_a_host_that_stays_away_is_given_up(
    run_by_its_own_clock: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(jitter=random.Random(1))
        waiting = s.submit(0, 1, 2, 3, 4)
        s.host.is_away = True
        s.side.link.abort()
        error = await s.observer.lost
        assert asyncio.get_running_loop().time() == pytest.approx(limits.CLIENT_PATIENCE_S)
        assert type(error) is ClusterLost
        assert "nobody was there again within 60 s (no host listens there)" in str(error)
        with pytest.raises(ClusterLost):
            await s.submit(5)
        await asyncio.gather(waiting, return_exceptions=True)
        tries = s.host.tries
        assert 15 < tries < 60, "with a delay of up to 5 s, and 2.5 s on average"
        await asyncio.sleep(100)
        assert s.host.tries == tries
        s.job.close()
        s.client.close()

    run_by_its_own_clock(main())


def test_the_time_in_which_the_client_itself_stood_still_does_not_count(
    run_by_its_own_clock: Callable, stage: Callable
) -> None:
    """Such as by Ctrl-Z, or on a laptop that was closed."""

    async def main() -> None:
        s = await stage.started(jitter=random.Random(1))
        loop = asyncio.get_running_loop()
        s.host.is_away = True
        s.side.link.abort()
        await asyncio.sleep(30)
        loop._clock.now_s += 3_600
        await asyncio.sleep(20)
        assert not s.observer.lost.done()
        error = await s.observer.lost
        assert loop.time() == pytest.approx(3_600 + limits.CLIENT_PATIENCE_S, abs=6)
        assert "within 60 s" in str(error)
        s.client.close()

    run_by_its_own_clock(main())


def test_a_host_that_cannot_come_again_is_not_looked_for(run: Callable, stage: Callable) -> None:
    async def main() -> None:
        s = await stage.started(patience_s=0)
        s.side.link.abort()
        assert "was lost" in str(await s.observer.lost)
        assert s.observer.notices() == []
        assert s.host.tries == 1
        s.client.close()

    run(main())


async def break_over_and_over(s: Any, *, after_s: float) -> None:
    """Each connection breaks so long after the client has said its first words on it."""
    while True:
        await s.side.hear(OpenJob)
        await asyncio.sleep(after_s)
        s.side.link.abort()
        s.side = await s.host.welcomed()


def test_a_connection_that_breaks_over_and_over_uses_up_the_patience(
    run_by_its_own_clock: Callable, stage: Callable
) -> None:
    """Else something in what is said on return could break it for ever."""

    async def main() -> None:
        s = await stage.started(jitter=random.Random(1))
        breaking = asyncio.create_task(break_over_and_over(s, after_s=0.0))
        assert type(await s.observer.lost) is ClusterLost
        took_s = asyncio.get_running_loop().time()
        assert limits.CLIENT_PATIENCE_S <= took_s < limits.CLIENT_PATIENCE_S + 6
        breaking.cancel()
        s.client.close()

    run_by_its_own_clock(main())


def test_one_that_was_steady_has_all_its_patience_again(
    run_by_its_own_clock: Callable, stage: Callable
) -> None:
    async def main() -> None:
        s = await stage.started(jitter=random.Random(1))
        breaking = asyncio.create_task(break_over_and_over(s, after_s=STEADY_S))
        await asyncio.sleep(10 * limits.CLIENT_PATIENCE_S)
        assert not s.observer.lost.done()
        breaking.cancel()
        s.client.close()

    run_by_its_own_clock(main())


@pytest.mark.parametrize("is_new", [True, False])
def test_one_that_brings_results_has_all_its_patience_again(
    run_by_its_own_clock: Callable, stage: Callable, is_new: bool
) -> None:
    """A host that is killed every second, and still gets ahead; else it could go on for ever."""

    async def finish_one_each_time(s: Any) -> None:
        for index in range(200):
            await s.side.hear(OpenJob)
            s.side.finish(s.job, index if is_new else 0)
            await s.a_while()
            s.side.link.abort()
            s.side = await s.host.welcomed()

    async def main() -> None:
        s = await stage.started(tasks=1000, jitter=random.Random(1))
        await s.submit(*range(200))
        breaking = asyncio.create_task(finish_one_each_time(s))
        await asyncio.wait([breaking, s.observer.lost], return_when=asyncio.FIRST_COMPLETED)
        assert s.observer.lost.done() != is_new
        breaking.cancel()
        s.job.close()
        s.client.close()

    run_by_its_own_clock(main())


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
