"""Where an executor's calls run: workers of this machine, or a standing host."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import NamedTuple

from midas_mp import limits
from midas_mp.blobs.door import Visitor
from midas_mp.blobs.upkeep import Upkeep
from midas_mp.client.client import Client
from midas_mp.client.cluster import InProcessCluster
from midas_mp.errors import ClusterLost, MidasError, ProcessLost
from midas_mp.executor.host_process import HostProcess
from midas_mp.join.access import BY_USER, Access
from midas_mp.participant.cpus import default_memory_bytes, usable_cpu_count
from midas_mp.participant.naming import node_name
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.permissions import OF_TASKS, Permissions
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge
from midas_mp.transport.link import Link, Receiver
from midas_mp.wire.conversation import Conversation


class WorkplaceSpec(NamedTuple):
    """Which workplace is wanted.

    Attributes:
        address: of a standing host; None is this machine.
        workers: on this machine; None is one for each usable CPU.
        memory_bytes: bound of each Lua state here; None shares out what the machine has.
        sandbox_level_max: of the workers here.
        host_process: the host here has a process of its own.
        access: how to be let in at the address.
        permissions: what tasks may use here.
        sandbox_level_min: processes here that are confined less are of no use.
    """

    address: Address | None = None
    workers: int | None = None
    memory_bytes: int | None = None
    sandbox_level_max: int = 3
    host_process: bool = False
    access: Access = BY_USER
    permissions: Permissions = OF_TASKS
    sandbox_level_min: int = 0

    @property
    def workers_expected(self) -> int:
        """0 where only a host knows."""
        return 0 if self.address is not None else self.workers or usable_cpu_count()

    def __str__(self) -> str:
        return str(self.address) if self.address is not None else "this machine"


class Workplace:
    """An open one.

    Attributes:
        client: what to submit to.
    """

    def __init__(
        self, client: Client, closing: contextlib.AsyncExitStack, site: WorkplaceSpec
    ) -> None:
        self.client = client
        self._closing = closing
        self._site = site
        self._supervisor: Supervisor | None = None

    async def close(self) -> None:
        """Ends connections and processes."""
        await self._closing.aclose()

    def supervisor(self) -> Supervisor:
        """Starts processes of this machine, such as that of a script; made when first needed.

        Raises:
            ProcessLost: none can be started.
        """
        if self._supervisor is None:
            self._supervisor = Supervisor(Zygote.start(), zygote_lost=self._supervisor_lost)
            self._closing.callback(self._supervisor.close)
        return self._supervisor

    def _supervisor_lost(self, _error: MidasError) -> None:
        """Its processes have ended with it; the next that are wanted get another one."""
        self._supervisor = None


async def open_workplace(site: WorkplaceSpec, lost: Callable[[MidasError], None]) -> Workplace:
    """Starts the workers, or connects.

    Args:
        site: where.
        lost: called when nothing can run there any more.

    Raises:
        HostUnreachable: nobody answers at the address.
        PeerRefused: the host does not want us.
        UsageError: the address asks for a token.
        ProcessLost: no process can be started here.
    """
    async with contextlib.AsyncExitStack() as closing:
        if site.address is not None:
            client = await _client_of_standing_host(site.address, site.access, closing)
            return Workplace(client, closing.pop_all(), site)
        if site.host_process:
            client = await _client_of_host_process(_node_settings(site), closing)
            return Workplace(client, closing.pop_all(), site)
        supervisor = Supervisor(Zygote.start(), zygote_lost=lost)
        closing.callback(supervisor.close)
        cluster = InProcessCluster(supervisor, _node_settings(site))
        closing.push_async_callback(cluster.close)
        cluster.failed.add_done_callback(functools.partial(_cluster_failed, lost))
        closing.callback(cluster.failed.cancel)
        client = await cluster.connect()
        closing.callback(client.close)
        workplace = Workplace(client, closing.pop_all(), site)
        workplace._supervisor = supervisor  # noqa: SLF001 - the same processes serve a script
        return workplace
    raise AssertionError


async def _client_of_standing_host(
    address: Address, access: Access, closing: contextlib.AsyncExitStack
) -> Client:
    closing.callback(Upkeep().close)
    dialled = _Dialled(address, access.badge(address))
    closing.push_async_callback(dialled.wait_ended)
    client = Client(dialled)
    closing.callback(client.close)
    await client.connect()
    return client


async def _client_of_host_process(
    settings: NodeSettings, closing: contextlib.AsyncExitStack
) -> Client:
    closing.callback(Upkeep().close)
    host = HostProcess(settings)
    closing.push_async_callback(host.close)
    client = Client(host, patience_s=0)
    closing.callback(client.close)
    try:
        await client.connect()
    except ClusterLost as error:
        raise ProcessLost(str(error)) from None
    return client


class _Dialled:
    """Dials a host and knows which links came of it: the loop must outlive them."""

    def __init__(self, address: Address, badge: Badge | None) -> None:
        self._address = address
        self._badge = badge
        self._visitor = Visitor()
        self._links: list[Link] = []

    async def __call__(self, receiver: Receiver, conversation: Conversation, /) -> Link:
        link = await tcp.connect(
            self._address,
            receiver,
            conversation,
            badge=self._badge,
            timeout_s=limits.CONNECT_TIMEOUT_S,
            neighbours=self._visitor,
        )
        self._links = [link, *(link for link in self._links if not link.is_closed)]
        return link

    async def wait_ended(self) -> None:
        """Until all of them are over, which were closed before."""
        await asyncio.gather(*(link.drained() for link in self._links))


def _node_settings(site: WorkplaceSpec) -> NodeSettings:
    workers = site.workers_expected
    return NodeSettings(
        node_name(),
        name_is_explicit=False,
        workers=workers,
        memory_bytes=site.memory_bytes or default_memory_bytes(workers),
        sandbox_level_max=site.sandbox_level_max,
        permissions=site.permissions,
        sandbox_level_min=site.sandbox_level_min,
    )


def _cluster_failed(lost: Callable[[MidasError], None], failed: asyncio.Future[None]) -> None:
    error = None if failed.cancelled() else failed.exception()
    if isinstance(error, MidasError):
        lost(error)
