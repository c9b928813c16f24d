"""A cluster of real processes on this machine, for tests: a host, and nodes that may be killed.

with midas_mp.LocalCluster(workers=2, participants=2) as cluster:
    with cluster.executor() as executor:
        ...
        cluster.participants[0].kill()
"""

from __future__ import annotations

import asyncio
import atexit
import socket
import threading
import time
import weakref
from types import TracebackType
from typing import Any, Final, Self

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
from midas_mp.executor.options import memory_bytes
from midas_mp.executor.tether import TetheredProcess, wait_heard
from midas_mp.participant.cpus import default_memory_bytes
from midas_mp.participant.launcher import NodeSettings
from midas_mp.transport.address import Address

LOOPBACK: Final = "127.0.0.1"

_open_clusters: weakref.WeakSet[LocalCluster] = weakref.WeakSet()


class ClusterMember:
    """The host, or one participant with its workers."""

    def __init__(self, process: TetheredProcess) -> None:
        self._process = process

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
        start_timeout: seconds until all workers must be there.

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
        start_timeout: float = 60.0,
    ) -> None:
        for name, count in (("workers", workers), ("participants", participants)):
            if not isinstance(count, int) or count < 1:
                raise UsageError(f"{name} must be a whole number of 1 or more, not {count!r}")
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
        )
        self._processes: list[TetheredProcess] = []
        _open_clusters.add(self)
        try:
            self._address = self._start_host(workers * participants)
            self.host = ClusterMember(self._processes[0])
            self.participants: list[ClusterMember] = []
            for _ in range(participants):
                self.add_participant()
        except BaseException:
            self.close()
            raise

    def _start_host(self, workers: int) -> Address:
        with socket.create_server((LOOPBACK, 0)) as listening:
            address = Address(LOOPBACK, listening.getsockname()[1])
            settings = settings_word(HostSettings(address, workers))
            host = TetheredProcess("host", MODULE, "host", settings)
            self._processes.append(host)
            host.hand_over(listening)
        return address

    def add_participant(self) -> ClusterMember:
        """One more like the others; returns before its workers are there.

        Raises:
            ProcessLost: it cannot be started.
            UsageError: the cluster is closed.
        """
        if self._is_closed:
            raise UsageError("the cluster is closed")
        node = self._node._replace(name=f"node-{len(self.participants)}")
        settings = settings_word(ParticipantSettings(self._address, node))
        self._processes.append(TetheredProcess(node.name, MODULE, "participant", settings))
        self.participants.append(ClusterMember(self._processes[-1]))
        return self.participants[-1]

    @property
    def address(self) -> str:
        """Of the host, also for ``midas run --address`` and ``midas participant --address``."""
        return str(self._address)

    def executor(self, **options: Any) -> Executor:
        """An executor on this cluster, made with these options of ``midas_mp.Executor``; it is
        shut down with the cluster.

        Raises:
            ProcessLost: a process ended while the cluster started.
            UsageError: an option makes no sense.
        """
        self.wait_ready()
        executor = Executor(self.address, **options)
        self._executors.add(executor)
        weakref.finalize(executor, _keep, self).atexit = False
        return executor

    def client(self, **options: Any) -> AsyncClient:
        """A client for asyncio, made with these options of ``midas_mp.aio.Client``."""
        client = AsyncClient(self.address, **options)
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
                if not wait_heard(self._processes, max(0.0, until_s - time.monotonic())):
                    raise ProcessLost(
                        f"the workers were not there within {self._start_timeout_s:g} s"
                    )
                for process in self._processes:
                    if not process.listen():
                        raise process.ending()
                self._is_ready = READY in self._processes[0].heard

    def close(self) -> None:
        """Shuts its executors down, ends all processes; idempotent."""
        self._is_closed = True
        for executor in list(self._executors):
            executor.shutdown(cancel_futures=True)
        for process in self._processes:
            process.let_go()
        until_s = time.monotonic() + tether.CLOSE_TIMEOUT_S
        for process in self._processes:
            process.close(until_s)

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
            for process in self._processes:
                process.let_go()  # so that nobody waits for it
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


def _keep(_cluster: LocalCluster) -> None:
    """A cluster lives as long as what uses it."""


@atexit.register
def _close_all() -> None:
    """Before the executors of a program are closed, whose host would be gone."""
    for cluster in list(_open_clusters):
        cluster.close()
