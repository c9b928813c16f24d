"""A host, a participant or both: ``python -P -m midas_mp.executor.cluster_process FD PARENT ROLE
[SETTINGS]``, started as a ``TetheredProcess``.

    host         listens on the one socket that is handed over; says ``ready`` when so many workers
                 as SETTINGS tells are there
    participant  lends workers, as SETTINGS tells, to the host at an address
    both         a cluster of its own; each socket that is handed over is a connection to its host,
                 and one that comes along is for the memory that both share

Each ends in order when its parent lets go; before it ends for another reason, it says which.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from midas_mp.blobs.sharing import Sharing
from midas_mp.errors import MidasError
from midas_mp.executor.tether import Tether, ignore_signals
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.zygote import Zygote
from midas_mp.transport import loop, stream
from midas_mp.transport.address import Address

if TYPE_CHECKING:
    from midas_mp.host.host import Host

MODULE: Final = "midas_mp.executor.cluster_process"

READY: Final = "ready"

_LOOK_INTERVAL_S: Final = 0.01


class HostSettings(NamedTuple):
    """For the role of a host."""

    address: Address
    workers: int
    """Who waits for ``ready`` waits for so many."""


class ParticipantSettings(NamedTuple):
    """For the role of a participant."""

    address: Address
    node: NodeSettings


def settings_word(settings: HostSettings | ParticipantSettings | NodeSettings) -> str:
    """SETTINGS on the command line."""
    return msgspec.json.encode(settings).decode()


async def serve_host(tether: Tether, word: str) -> None:
    """A standing host, until the parent lets go."""
    from midas_mp.host.host import Host
    from midas_mp.host.service import listening
    from midas_mp.join.entrance import make_entrance

    settings = msgspec.json.decode(word, type=HostSettings)
    tether.end_at(signal.SIGTERM)
    entry = make_entrance(settings.address).entry
    host = Host(announce=_say_nothing)
    socks = await tether.receive()
    if socks is None:
        return
    async with listening(host, settings.address, entry, sock=socks[0]) as listener:
        watching = asyncio.ensure_future(_say_when_ready(tether, host, settings.workers))
        try:
            await tether.wait_end()
        finally:
            watching.cancel()
            listener.close()
            await host.close("the host is stopping")


async def _say_when_ready(tether: Tether, host: Host, workers: int) -> None:
    while host.scheduler.statistics().workers < workers:  # noqa: ASYNC110 - nobody announces them
        await asyncio.sleep(_LOOK_INTERVAL_S)
    tether.say(READY)


async def serve_participant(tether: Tether, word: str) -> None:
    """A launcher and its workers, until the parent lets go.

    Raises:
        PeerError: the host refused this node, or one side broke the protocol.
        ProcessLost: workers cannot run here.
    """
    from midas_mp.join.access import BY_USER
    from midas_mp.participant.service import serve

    address, node = msgspec.json.decode(word, type=ParticipantSettings)
    tether.end_at(signal.SIGTERM)
    badge = BY_USER.badge(address)
    work = asyncio.ensure_future(
        serve(address, node, Zygote.start(), badge=badge, announce=_say_nothing)
    )
    ending = asyncio.ensure_future(tether.wait_end())
    await asyncio.wait([work, ending], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    work.cancel()
    await asyncio.wait([work])


async def serve_both(tether: Tether, word: str) -> None:
    """Host and workers for whoever is at the other end of the sockets that are handed over.

    Raises:
        ProcessLost: workers cannot run here.
    """
    from midas_mp.client.cluster import InProcessCluster
    from midas_mp.participant.supervisor import Supervisor

    settings = msgspec.json.decode(word, type=NodeSettings)
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    supervisor = Supervisor(Zygote.start(), zygote_lost=lost.set_exception)
    cluster = InProcessCluster(supervisor, settings)
    serving = asyncio.ensure_future(_admit(tether, cluster.host))
    try:
        done, _ = await asyncio.wait(
            [serving, lost, cluster.failed], return_when=asyncio.FIRST_COMPLETED
        )
        for future in done:
            future.result()
        await cluster.close()
    finally:  # after an error without goodbye, which would be heard before the reason is
        serving.cancel()
        supervisor.close()


async def _admit(tether: Tether, host: Host) -> None:
    while (socks := await tether.receive()) is not None:
        sock, *others = socks
        link = await stream.attach(sock, host, host.conversation(), name="the program")
        for channel in others:
            link.share(Sharing(channel, link))


def main() -> None:
    ignore_signals()
    fd, parent_pid, role, word = sys.argv[1:]
    serve = {"host": serve_host, "participant": serve_participant, "both": serve_both}[role]
    code = loop.run(_run(fd, parent_pid, lambda tether: serve(tether, word)))
    os._exit(code)  # the parent waits, and there is nothing to clean up


async def _run(
    fd: str, parent_pid: str, serve: Callable[[Tether], Coroutine[Any, Any, None]]
) -> int:
    tether = Tether.attach(fd, parent_pid)
    try:
        await serve(tether)
    except MidasError as error:
        tether.explain(error)
        return error.exit_code
    return 0


def _say_nothing(_text: str) -> None:
    """The parent is no person."""


if __name__ == "__main__":
    main()
