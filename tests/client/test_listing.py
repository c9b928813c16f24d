from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp.client.listing import list_nodes
from midas_mp.errors import ClusterLost, HostUnreachable
from midas_mp.wire.messages import Goodbye, ListNodes, NodeReport, NodesListed

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
