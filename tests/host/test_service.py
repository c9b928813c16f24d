"""A standing host listens until it is stopped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from midas_mp.errors import AddressInUse, UsageError
from midas_mp.host.service import serve
from midas_mp.transport.address import Address
from midas_mp.transport.reception import EVERYBODY
from midas_mp.wire.messages import Goodbye, Invite, Role


async def started(address: Address) -> tuple[asyncio.Task[None], Address]:
    """A host, and where it says that it listens."""
    said: asyncio.Queue[str] = asyncio.Queue()
    invited: list[Address] = []
    serving = asyncio.create_task(
        serve(address, EVERYBODY, announce=said.put_nowait, invite=invited.append)
    )
    line = await said.get()
    match = re.fullmatch(r"listening on (.+); waiting for participants and scripts", line)
    assert match is not None
    assert invited == [Address.parse(match[1])]
    return serving, invited[0]


async def stopped(serving: asyncio.Task[None]) -> None:
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


@pytest.mark.parametrize("where", ["127.0.0.1", "::1"])
def test_it_welcomes_peers_and_says_goodbye_when_it_is_stopped(
    where: str, run: Callable, visit: Callable
) -> None:
    async def main() -> None:
        serving, address = await started(Address(where, 0))
        launcher, client = await visit(address), await visit(address)
        await launcher.greet(Role.LAUNCHER)
        await client.greet(Role.CLIENT)
        _, *heard = await asyncio.gather(
            stopped(serving), launcher.last_words(), client.last_words()
        )
        for invite, goodbye in heard:
            assert isinstance(invite, Invite)
            assert goodbye == Goodbye("the host is stopping")

    run(main())


def test_a_taken_port_is_told_and_free_again_afterwards(run: Callable) -> None:
    async def main() -> None:
        serving, address = await started(Address(port=0))
        with pytest.raises(AddressInUse, match="is taken by another process"):
            await serve(address, EVERYBODY, announce=print, invite=print)
        await stopped(serving)
        serving, again = await started(address)
        assert again == address
        await stopped(serving)

    run(main())


def test_an_address_of_another_machine_is_refused(run: Callable) -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="is not an address of this machine"):
            await serve(Address("192.0.2.1", 0), EVERYBODY, announce=print, invite=print)

    run(main())
