"""A cluster of real processes on this machine, for tests: a host, and nodes that may be killed.

with midas_mp.LocalCluster(workers=2, participants=2) as cluster:
    with cluster.executor() as executor:
        ...
        cluster.participants[0].kill()

With ``faults=midas_mp.testing.Faults(kill_worker_s=0.5)`` things go wrong by themselves, on a seed.
"""

from __future__ import annotations

import asyncio
import atexit
import socket
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from midas_mp import limits
from midas_mp.aio import AsyncClient
from midas_mp.errors import ProcessLost, UsageError
from midas_mp.executor import tether
from midas_mp.executor.cluster_process import (
    MODULE,
    READY,
    HostSettings,
    ParticipantSettings,
    settings_word,
)
from midas_mp.executor.executor import Executor
from midas_mp.executor.options import check_level, granted, memory_bytes
from midas_mp.executor.tether import TetheredProcess, wait_heard
from midas_mp.join.access import BY_USER
from midas_mp.participant.cpus import default_memory_bytes
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.transport.address import Address

if TYPE_CHECKING:
    from midas_mp.testing.injection import Blow, Faults, Injector, ProxyThread

LOOPBACK: Final = "127.0.0.1"

_open_clusters: weakref.WeakSet[LocalCluster] = weakref.WeakSet()


class ClusterMember:
    """The host, or one participant with its workers.

    Args:
        start: starts its process.
    """

    def __init__(self, start: Callable[[], TetheredProcess]) -> None:
        self._start = start
        self._process = start()

    @property
    def name(self) -> str:
        return self._process.name

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive

    def kill(self) -> None:
        """As a power cut would: nothing is said to anybody.  Returns when the process is gone; its
        workers follow it at once.
        """
        self._process.kill()

    def terminate(self) -> None:
        """As Ctrl-C would: it takes its leave.  Returns when it is gone."""
        self._process.let_go()
        self._process.wait()

    def restart(self) -> None:
        """Starts it anew after its end, under its name and, of a host, at its address; does not
        wait until it is ready.

        Raises:
            ProcessLost: it cannot be started.
            UsageError: it runs, or the cluster is closed.
        """
        if self.is_alive:
            raise UsageError(f"{self.name} runs: kill or terminate it first")
        self._process.close()
        self._process = self._start()

    @property
    def process(self) -> TetheredProcess:
        """The present one."""
        return self._process

    def __repr__(self) -> str:
        state = f"process {self.pid}" if self.is_alive else "ended"
        return f"<{self.name}, {state}>"


class LocalCluster:
    """A host on a port of its own, and participants, in processes that end with this program.

    Use it with ``with`` or ``async with``; it begins to start when it is made, and is ready inside.

    Args:
        workers: of each participant.
        participants: how many nodes.
        memory: bound of each Lua state, in bytes or as ``"256MB"``; None shares out what the
            machine has.
        sandbox_level_max: of the workers.
        sandbox_level_min: where workers are confined less the cluster does not start.
        allow: what tasks may use besides the clock and machine code: ``"read"``, ``"read=/data"``,
            ``"write=/scratch"``.
        deny: what they may not: ``"clock"``, ``"jit"``.
        start_timeout: seconds until all workers must be there.
        faults: what shall go wrong from when it is ready until ``calm`` is called; see
            ``midas_mp.testing.Faults``.

    Attributes:
        host: the process that coordinates; who kills it sees what a lost host means.
        participants: the nodes.

    Raises:
        UsageError: an option makes no sense.
        ProcessLost: no process can be started here.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        participants: int = 1,
        memory: int | str | None = None,
        sandbox_level_max: int = 3,
        sandbox_level_min: int = 0,
        allow: Collection[str] = (),
        deny: Collection[str] = (),
        start_timeout: float = 60.0,
        faults: Faults | None = None,
    ) -> None:
        for name, count in (("workers", workers), ("participants", participants)):
            if not isinstance(count, int) or not 1 <= count <= limits.WORKERS_PER_NODE_MAX:
                most = limits.WORKERS_PER_NODE_MAX
                raise UsageError(f"{name} must be a whole number from 1 to {most}, not {count!r}")
        self._workers = workers
        self._start_timeout_s = start_timeout
        self._is_ready = False
        self._is_closed = False
        self._starting = threading.Lock()
        self._executors: weakref.WeakSet[Executor] = weakref.WeakSet()
        self._node = NodeSettings(
            "",
            name_is_explicit=False,
            workers=workers,
            memory_bytes=memory_bytes(memory) or default_memory_bytes(workers * participants),
            sandbox_level_max=sandbox_level_max,
            permissions=granted(allow, deny),
            sandbox_level_min=check_level(sandbox_level_min),
        )
        self._port = _Port()
        self._proxy: ProxyThread | None = None
        self._injector: Injector | None = None
        self._members: list[ClusterMember] = []
        _open_clusters.add(self)
        try:
            self.host = self._add(lambda: self._start_host(workers * participants))
            self._address = self._port.address
            if faults is not None:
                self._prepare(faults)
            self.participants: list[ClusterMember] = []
            for _ in range(participants):
                self.add_participant()
        except BaseException:
            self.close()
            raise

    def _add(self, start: Callable[[], TetheredProcess]) -> ClusterMember:
        def start_if_open() -> TetheredProcess:
            if self._is_closed:
                raise UsageError("the cluster is closed")
            return start()

        self._members.append(ClusterMember(start_if_open))
        return self._members[-1]

    def _start_host(self, workers: int) -> TetheredProcess:
        address = self._port.address
        with self._port.listen() as listening:
            settings = settings_word(HostSettings(address, workers))
            host = TetheredProcess("host", MODULE, "host", settings)
            try:
                host.hand_over(listening)
            except BaseException:
                host.close()
                raise
        return host

    def _prepare(self, faults: Faults) -> None:
        from midas_mp.testing.injection import Injector, ProxyThread

        self._proxy = ProxyThread(self._address, faults.line, faults.seed)
        self._address = self._proxy.proxy.address
        self._injector = Injector(self, faults, self._proxy)

    def add_participant(self) -> ClusterMember:
        """One more like the others; returns before its workers are there.

        Raises:
            ProcessLost: it cannot be started.
            UsageError: the cluster is closed.
        """
        node = self._node._replace(name=f"node-{len(self.participants)}")
        settings = settings_word(ParticipantSettings(self._address, node))
        self.participants.append(
            self._add(lambda: TetheredProcess(node.name, MODULE, "participant", settings))
        )
        return self.participants[-1]

    @property
    def address(self) -> str:
        """Of the host, also for ``midas run --address`` and ``midas participant --address``."""
        return str(self._address)

    def strike(self, blow: Blow) -> None:
        """Has one thing go wrong now, of those that ``faults`` is about.

        Raises:
            UsageError: the cluster was made without ``faults``.
        """
        if self._injector is None:
            raise UsageError("make the cluster with faults=Faults() to have things go wrong")
        self._injector.strike(blow)

    def calm(self) -> Counter[str]:
        """Ends all faults and undoes them; returns how many of each kind there were."""
        if self._injector is None:
            return Counter()
        self._injector.stop()
        return self._injector.counts

    def executor(self, **options: Any) -> Executor:
        """An executor on this cluster, made with these options of ``midas_mp.Executor``; it is
        shut down with the cluster.

        Raises:
            ProcessLost: a process ended while the cluster started.
            UsageError: an option makes no sense.
        """
        self.wait_ready()
        executor = Executor(self.address, token=BY_USER, **options)
        self._executors.add(executor)
        weakref.finalize(executor, _keep, self).atexit = False
        return executor

    def client(self, **options: Any) -> AsyncClient:
        """A client for asyncio, made with these options of ``midas_mp.aio.Client``."""
        client = AsyncClient(self.address, token=BY_USER, **options)
        weakref.finalize(client, _keep, self).atexit = False
        return client

    def wait_ready(self) -> None:
        """Until all workers are there.

        Raises:
            ProcessLost: a process ended meanwhile, or it took too long.
        """
        until_s = time.monotonic() + self._start_timeout_s
        with self._starting:
            while not self._is_ready:
                processes = [member.process for member in self._members]
                if not wait_heard(processes, max(0.0, until_s - time.monotonic())):
                    raise ProcessLost(
                        f"the workers were not there within {self._start_timeout_s:g} s"
                    )
                for process in processes:
                    if not process.listen():
                        raise process.ending()
                if READY in processes[0].heard:
                    self._is_ready = True
                    if self._injector is not None:
                        self._injector.start()

    def close(self) -> None:
        """Shuts its executors down, ends all processes; idempotent."""
        self._is_closed = True
        if self._injector is not None:
            self._injector.stop()
        for executor in list(self._executors):
            executor.shutdown(cancel_futures=True)
        for member in self._members:
            member.process.let_go()
        until_s = time.monotonic() + tether.CLOSE_TIMEOUT_S
        for member in self._members:
            member.process.close(until_s)
        if self._proxy is not None:
            self._proxy.close()
        self._port.close()

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        starting = asyncio.ensure_future(asyncio.to_thread(self.wait_ready))
        try:
            await asyncio.shield(starting)
        except BaseException:
            for member in self._members:
                member.process.let_go()  # so that nobody waits for it
            await asyncio.gather(starting, return_exceptions=True)
            await asyncio.to_thread(self.close)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        nodes = len(self.participants)
        return (
            f"<midas_mp.LocalCluster at {self._address}, {nodes} participant"
            f"{'' if nodes == 1 else 's'} of {self._workers} worker"
            f"{'' if self._workers == 1 else 's'}>"
        )


class _Port:
    """A port of the loopback that is this cluster's, also while no host listens at it."""

    def __init__(self) -> None:
        # bound and not listening: nobody else is given it, and a host may listen at it
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind((LOOPBACK, 0))
        weakref.finalize(self, self._sock.close).atexit = False
        self.address = Address(LOOPBACK, self._sock.getsockname()[1])

    def listen(self) -> socket.socket:
        return socket.create_server((LOOPBACK, self.address.port))

    def close(self) -> None:
        self._sock.close()


def _keep(_cluster: LocalCluster) -> None:
    """A cluster lives as long as what uses it."""


@atexit.register
def _close_all() -> None:
    """Before the executors of a program are closed, whose host would be gone."""
    for cluster in list(_open_clusters):
        cluster.close()
