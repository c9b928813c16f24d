"""A host at an address: as long as somebody wants it, or until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from midas_mp import limits
from midas_mp.blobs.door import Door
from midas_mp.host.host import Host
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.tcp import Listener
from midas_mp.wire.conversation import Conversation


@contextlib.asynccontextmanager
async def listening(
    host: Host, address: Address, *, sock: socket.socket | None = None
) -> AsyncIterator[Listener]:
    """Whoever connects meanwhile reaches the host; who is of this node shares memory with it.

    Args:
        host: the host, which is not closed here.
        address: where.
        sock: bound to that address already.

    Raises:
        AddressInUse: another process listens there.
        UsageError: not an address of this machine.
    """
    with contextlib.closing(Door()) as door:
        if sock is None:
            listener = await tcp.listen(address, lambda: _met(host), neighbours=door)
        else:
            listener = await tcp.listen_on(sock, address, lambda: _met(host), neighbours=door)
        with contextlib.closing(listener):
            yield listener


async def serve(
    address: Address,
    *,
    patience_s: float = limits.CLIENT_PATIENCE_S,
    sandbox_level_min: int = 0,
    announce: Callable[[str], None],
) -> None:
    """Coordinates whoever connects; runs until cancelled.

    Raises:
        AddressInUse: another process listens there.
        UsageError: not an address of this machine.
    """
    host = Host(announce=announce, patience_s=patience_s, sandbox_level_min=sandbox_level_min)
    async with listening(host, address) as listener:
        announce(f"listening on {listener.address}; waiting for participants and scripts")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            listener.close()
            await host.close("the host is stopping")


def _met(host: Host) -> tuple[Host, Conversation]:
    """For one more connection."""
    return host, host.conversation()
