"""A host at an address: as long as somebody wants it, or until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from midas_mp import limits
from midas_mp.blobs.door import Door
from midas_mp.host.host import Host
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.reception import Entry
from midas_mp.transport.tcp import Listener
from midas_mp.wire.conversation import Conversation


@contextlib.asynccontextmanager
async def listening(
    host: Host, address: Address, entry: Entry, *, sock: socket.socket | None = None
) -> AsyncIterator[Listener]:
    """Whoever connects meanwhile reaches the host; who is of this node shares memory with it.

    Args:
        host: the host, which is not closed here.
        address: where.
        entry: whom to let in.
        sock: bound to that address already.

    Raises:
        AddressInUse: another process listens there.
        UsageError: not an address of this machine.
    """
    with contextlib.closing(Door()) as door:
        options: dict[str, Any] = {
            "entry": entry,
            "turned_away": host.turned_away,
            "neighbours": door,
        }
        if sock is None:
            listener = await tcp.listen(address, lambda: _met(host), **options)
        else:
            listener = await tcp.listen_on(sock, address, lambda: _met(host), **options)
        with contextlib.closing(listener):
            yield listener


async def serve(
    address: Address,
    entry: Entry,
    *,
    patience_s: float = limits.CLIENT_PATIENCE_S,
    sandbox_level_min: int = 0,
    announce: Callable[[str], None],
    invite: Callable[[Address], None],
) -> None:
    """Coordinates whoever connects and is let in; runs until cancelled.

    ``invite`` is called when it listens, with the address that came of it.

    Raises:
        AddressInUse: another process listens there.
        UsageError: not an address of this machine.
    """
    host = Host(announce=announce, patience_s=patience_s, sandbox_level_min=sandbox_level_min)
    async with listening(host, address, entry) as listener:
        announce(f"listening on {listener.address}; waiting for participants and scripts")
        invite(listener.address)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            listener.close()
            await host.close("the host is stopping")


def _met(host: Host) -> tuple[Host, Conversation]:
    """For one more connection."""
    return host, host.conversation()
