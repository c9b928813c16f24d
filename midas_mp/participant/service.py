"""A standing participant: finds a host, serves it, and looks for the next when it goes away."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from typing import Final

from midas_mp import limits
from midas_mp.errors import HostUnreachable, PeerError, ProcessLost, ProtocolError
from midas_mp.participant.launcher import Launcher, NodeSettings
from midas_mp.participant.process import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.link import Link
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.messages import Role

FIRST_DELAY_S: Final = 0.2
REPEAT_NOTICE_S: Final = 30.0

Announce = Callable[[str], None]


async def serve(
    address: Address, settings: NodeSettings, zygote: Zygote, *, announce: Announce
) -> None:
    """Lends this node's workers to the host at an address; runs until cancelled.

    Raises:
        PeerError: the host refused this node, or broke the protocol.
        ProcessLost: workers cannot run here.
    """
    loop = asyncio.get_running_loop()
    broken: asyncio.Future[None] = loop.create_future()

    def zygote_lost(error: ProcessLost) -> None:
        if not broken.done():
            broken.set_exception(error)

    supervisor = Supervisor(zygote, zygote_lost=zygote_lost)
    launcher = Launcher(supervisor, settings, node_id=uuid.uuid4().hex, announce=announce)
    visits = asyncio.ensure_future(_visit_hosts(address, launcher, announce))
    try:
        ends: set[asyncio.Future[None]] = {visits, broken, launcher.failed}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
    finally:
        visits.cancel()
        broken.cancel()
        launcher.leave("the participant is stopping")
        await asyncio.gather(visits, return_exceptions=True)
        supervisor.close()


async def _visit_hosts(address: Address, launcher: Launcher, announce: Announce) -> None:
    """One host after the other, as long as they end without blame."""
    delay_s = FIRST_DELAY_S
    while True:
        link = await _connect(address, launcher, announce)
        error = await launcher.greet(link)
        if isinstance(error, ProtocolError) and not link.conversation.is_open:
            raise ProtocolError(f"{address} does not answer like a Midas host: {error}")
        if isinstance(error, PeerError):
            raise error
        cause = f" ({error})" if error is not None else ""
        if link.conversation.is_open:
            announce(f"the host at {address} is gone{cause}; waiting for the next one")
            delay_s = FIRST_DELAY_S
        else:
            # such as a forwarded port with nobody behind it
            announce(f"{address} hung up without a welcome{cause}; trying again")
            delay_s = await _back_off(delay_s)


async def _connect(address: Address, launcher: Launcher, announce: Announce) -> Link:
    """Tries until somebody answers, with full jitter so that a fleet does not come at once."""
    loop = asyncio.get_running_loop()
    delay_s = FIRST_DELAY_S
    noticed_s: float | None = None
    while True:
        try:
            return await tcp.connect(address, launcher, Conversation(Role.LAUNCHER, Role.HOST))
        except HostUnreachable as error:
            if noticed_s is None or loop.time() - noticed_s >= REPEAT_NOTICE_S:
                noticed_s = loop.time()
                announce(f"waiting for a host: {error}")
        delay_s = await _back_off(delay_s)


async def _back_off(delay_s: float) -> float:
    """Waits up to so long, at random; how long to wait at most the next time."""
    await asyncio.sleep(random.uniform(0, delay_s))  # noqa: S311 - spreads load, no secret
    return min(2 * delay_s, limits.RECONNECT_DELAY_S_MAX)
