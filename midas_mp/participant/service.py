"""A participant at work: finds a host, serves it, and looks for the next when it is gone."""

from __future__ import annotations

import asyncio
import math
import random
import uuid
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, NamedTuple

from midas_mp import limits
from midas_mp.blobs.door import Visitor
from midas_mp.errors import (
    ClusterLost,
    HostUnreachable,
    MidasError,
    PeerError,
    PeerRefused,
    ProcessLost,
    ProtocolError,
    WorldError,
)
from midas_mp.participant.launcher import Launcher
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.backoff import Backoff
from midas_mp.transport.joining import Badge
from midas_mp.transport.link import Dial
from midas_mp.wire.conversation import Conversation
from midas_mp.wire.messages import KILLED, Role

REPEAT_NOTICE_S: Final = 30.0

Announce = Callable[[str], None]


async def serve(
    address: Address,
    settings: NodeSettings,
    zygote: Zygote,
    *,
    badge: Badge | None,
    announce: Announce,
    once: bool = False,
    idle_timeout_s: float | None = None,
    draining: asyncio.Event | None = None,
    grace_s: float = limits.DRAIN_GRACE_S,
) -> None:
    """Lends this node's workers to the host at an address.

    Args:
        address: where the host is, now or later.
        settings: what the node offers.
        zygote: forks the workers; closed in the end.
        badge: proves who we are; None where nobody proves anything.
        announce: told what people may want to know.
        once: return when the first host leaves; else run until cancelled.
        idle_timeout_s: return when there was nothing to do for so long; None is never.
        draining: once it is set, take nothing more and return when what runs has ended.
        grace_s: how long that may take; what runs then is left to others.

    Raises:
        PeerError: the host refused this node, or one side broke the protocol.
        HostUnreachable: with ``once``, the host was lost and did not come back.
        ProcessLost: workers cannot run here.
    """
    loop = asyncio.get_running_loop()
    broken: asyncio.Future[None] = loop.create_future()

    def zygote_lost(error: ProcessLost) -> None:
        if not broken.done():
            broken.set_exception(error)

    supervisor = Supervisor(zygote, zygote_lost=zygote_lost)
    dial: Dial = partial(tcp.connect, address, badge=badge, neighbours=Visitor())
    jitter = random.Random()  # noqa: S311 - spreads load, no secret
    launcher = Launcher(
        supervisor,
        settings,
        node_id=uuid.uuid4().hex,
        announce=announce,
        dial=dial,
        jitter=jitter,
    )
    works: list[Coroutine[Any, Any, None]] = [
        visit_hosts(dial, launcher, where=str(address), announce=announce, jitter=jitter, once=once)
    ]
    if idle_timeout_s is not None:
        works.append(wait_idle(launcher, idle_timeout_s, announce))
    if draining is not None:
        works.append(drain(launcher, draining, grace_s, announce))
    tasks = [asyncio.ensure_future(work) for work in works]
    reason = "the participant is stopping"
    try:
        ends: list[asyncio.Future[None]] = [*tasks, broken, launcher.failed]
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for future in ends:
            if future in done:
                future.result()
        if draining is not None and draining.is_set():
            reason = "drained"
    finally:
        for task in tasks:
            task.cancel()
        broken.cancel()
        launcher.leave(reason)
        await asyncio.gather(*tasks, return_exceptions=True)
        supervisor.close()


async def visit_hosts(
    dial: Dial,
    launcher: Launcher,
    *,
    where: str,
    announce: Announce,
    jitter: random.Random,
    once: bool = False,
) -> None:
    """One host after the other, as long as they end without blame, until somebody kills this node.

    Args:
        dial: how to reach the host.
        launcher: the node that is lent.
        where: the host's address, for people.
        announce: told what people may want to know.
        jitter: spreads the tries of a fleet.
        once: return when a host says goodbye.

    Raises:
        PeerError: the host refused this node, or one side broke the protocol.
        HostUnreachable: with ``once``, the host was lost and did not come back within
            ``limits.CLIENT_PATIENCE_S``.
    """
    loop = asyncio.get_running_loop()
    backoff = Backoff(delay_s_max=limits.RECONNECT_DELAY_S_MAX, jitter=jitter)
    noticed_s = -math.inf
    give_up_s = math.inf
    while True:
        try:
            visit = await _visit(dial, launcher, where)
        except PeerRefused as error:
            if error.refusal != KILLED:
                raise
            announce(f"the host at {where} ended this participant: {error}")
            return
        if visit.was_welcome:
            if once and isinstance(visit.error, ClusterLost):
                return
            announce(_loss(where, visit.error, launcher.held_count))
            backoff.reset()
            noticed_s = loop.time()
            if once:
                give_up_s = noticed_s + limits.CLIENT_PATIENCE_S
        elif loop.time() - noticed_s >= REPEAT_NOTICE_S:
            announce(f"waiting for a host: {visit.error}")
            noticed_s = loop.time()
        if loop.time() >= give_up_s:
            raise HostUnreachable(f"the host at {where} did not come back: {visit.error}")
        await asyncio.sleep(min(backoff.next_delay_s(), give_up_s - loop.time()))


async def wait_idle(launcher: Launcher, timeout_s: float, announce: Announce) -> None:
    """Returns when there was nothing to do for so long."""
    while (left_s := timeout_s - launcher.idle_s) > 0:  # noqa: ASYNC110 - no busy loop
        await asyncio.sleep(left_s)
    announce(f"nothing to do for {timeout_s:g} s; leaving")


async def drain(
    launcher: Launcher, draining: asyncio.Event, grace_s: float, announce: Announce
) -> None:
    """Returns when what runs has ended, or has had its time, after somebody asked for it."""
    await draining.wait()
    if launcher.held_count:
        goes_on = _counted(launcher.held_count, "task goes on", "tasks go on")
        announce(f"leaving: {goes_on} here for up to {grace_s:g} s")
    if launcher.kept_count:
        wait = _counted(launcher.kept_count, "result waits", "results wait")
        announce(f"leaving: {wait} for a host for up to {grace_s:g} s")
    undone = await launcher.drain("draining", grace_s)
    if undone.running_count:
        tasks = _counted(undone.running_count, "task is", "tasks are")
        announce(f"{tasks} not done after {grace_s:g} s and left to others")
    if undone.kept_count:
        found = _counted(undone.kept_count, "result has", "results have")
        announce(f"{found} found no host within {grace_s:g} s; others compute that again")
    announce("left")


class _Visit(NamedTuple):
    """How one try to be with a host ended, if it was nobody's fault."""

    was_welcome: bool
    error: MidasError | None


async def _visit(dial: Dial, launcher: Launcher, where: str) -> _Visit:
    """One try, and the time with the host if it succeeds.

    Raises:
        PeerError: the host refused this node, or one side broke the protocol.
    """
    try:
        link = await dial(launcher, Conversation(Role.LAUNCHER, Role.HOST))
    except WorldError as error:
        return _Visit(was_welcome=False, error=error)
    end = await launcher.greet(link)
    was_welcome = link.conversation.is_open
    if isinstance(end, ProtocolError) and not was_welcome:
        raise ProtocolError(f"{where} does not answer like a Midas host: {end}")
    if isinstance(end, PeerError):
        raise end
    if was_welcome:
        return _Visit(was_welcome, end)
    # such as a forwarded port with nobody behind it
    hung_up = HostUnreachable(f"{where} hung up without a welcome{_because(where, end)}")
    return _Visit(was_welcome, hung_up)


def _loss(where: str, error: MidasError | None, held_count: int) -> str:
    meanwhile = "waiting for the next one"
    if held_count:
        meanwhile = f"{_counted(held_count, 'task goes on', 'tasks go on')} here"
    return f"the host at {where} is gone{_because(where, error)}; {meanwhile}"


def _because(where: str, error: MidasError | None) -> str:
    """The reason in brackets, for a sentence that has said where already."""
    return f" ({str(error).removeprefix(f'{where}: ')})" if error is not None else ""


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
