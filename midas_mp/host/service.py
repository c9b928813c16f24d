"""A standing host: listens until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midas_mp import limits
from midas_mp.host.host import Host
from midas_mp.transport import tcp
from midas_mp.transport.address import Address


async def serve(
    address: Address,
    *,
    patience_s: float = limits.CLIENT_PATIENCE_S,
    announce: Callable[[str], None],
) -> None:
    """Coordinates whoever connects; runs until cancelled.

    Raises:
        AddressInUse: another process listens there.
        UsageError: not an address of this machine.
    """
    host = Host(announce=announce, patience_s=patience_s)
    listener = await tcp.listen(address, lambda: (host, host.conversation()))
    try:
        announce(f"listening on {listener.address}; waiting for participants and scripts")
        await asyncio.get_running_loop().create_future()
    finally:
        listener.close()
        await host.close("the host is stopping")
