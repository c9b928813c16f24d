"""From a script's path to its answer: on this machine, at a standing host, or as the host.

Each function here owns the processes and connections of one run, and leaves none behind
however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from midas_mp import limits
from midas_mp.blobs.door import Visitor
from midas_mp.client.client import Client
from midas_mp.client.cluster import InProcessCluster, dial_within
from midas_mp.config import JobOptions
from midas_mp.driver.job import Answer, ScriptJob
from midas_mp.driver.script_process import ScriptProcess
from midas_mp.driver.view import View
from midas_mp.errors import ProcessLost
from midas_mp.host.host import Host
from midas_mp.host.service import listening
from midas_mp.join import state
from midas_mp.journal.journal import Journal
from midas_mp.participant.cpus import default_memory_bytes, usable_cpu_count
from midas_mp.participant.naming import node_name
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.supervisor import Supervisor
from midas_mp.participant.zygote import Zygote
from midas_mp.permissions import Permissions
from midas_mp.transport import tcp
from midas_mp.transport.address import Address
from midas_mp.transport.joining import Badge
from midas_mp.transport.reception import Entry


class Run(NamedTuple):
    """One run of one script.

    Attributes:
        zygote: started beforehand, so that its imports and ours go on side by side.
        journal: where results are recorded, and taken from; None is nowhere.
    """

    path: Path
    options: JobOptions
    view: View
    zygote: Zygote
    sandbox_level_max: int = 3
    sandbox_level_min: int = 0
    journal: Path | None = None


async def run_on_this_machine(run: Run, *, workers: int | None) -> Answer:
    """Host, workers and script all here; no port is opened.

    Args:
        run: what to run.
        workers: how many, or None for one per usable CPU.

    Raises:
        MidasError: see ``ScriptJob.run``.
    """
    count = workers or usable_cpu_count()
    memory_default = default_memory_bytes(count)
    settings = NodeSettings(
        node_name(),
        name_is_explicit=False,
        workers=count,
        memory_bytes=run.options.memory_bytes or memory_default,
        sandbox_level_max=run.sandbox_level_max,
        sandbox_level_min=run.sandbox_level_min,
    )
    watch = _Watch()
    supervisor = Supervisor(run.zygote, zygote_lost=watch.lost)
    try:
        async with _script_job(run, supervisor, memory_default) as job:
            watch.job = job
            cluster = InProcessCluster(supervisor, settings)
            try:
                cluster.failed.add_done_callback(watch.cluster_failed)
                await job.load()
                client = await cluster.connect()
                try:
                    return await job.run(client)
                finally:
                    client.close()
            finally:
                cluster.failed.cancel()
                await cluster.close()
    finally:
        supervisor.close()


async def run_at_host(
    run: Run,
    address: Address,
    *,
    badge: Badge | None,
    patience_s: float = limits.CLIENT_PATIENCE_S,
) -> Answer:
    """The script's functions here, its tasks on the workers of a standing host.

    ``badge`` proves who we are there.  A host that goes away is looked for, for ``patience_s``.

    Raises:
        HostUnreachable: nobody answers there.
        PeerRefused: the host does not want us.
        MidasError: see ``ScriptJob.run``.
    """
    watch = _Watch()
    supervisor = Supervisor(run.zygote, zygote_lost=watch.lost)
    dial = functools.partial(
        tcp.connect, address, badge=badge, timeout_s=limits.CONNECT_TIMEOUT_S, neighbours=Visitor()
    )
    client = Client(dial, patience_s=patience_s)
    try:
        async with _script_job(run, supervisor, default_memory_bytes(1)) as job:
            watch.job = job
            await client.connect()
            await job.load()
            return await job.run(client)
    finally:
        client.close()
        supervisor.close()


async def run_as_host(
    run: Run,
    address: Address,
    entry: Entry,
    *,
    patience_s: float = limits.CLIENT_PATIENCE_S,
    announce: Callable[[str], None],
    invite: Callable[[Address], None],
) -> Answer:
    """Listens, waits for participants, runs the script on them, and is done.

    ``invite`` is called when it listens, with the address that came of it.

    Raises:
        AddressInUse: another process listens there.
        MidasError: see ``ScriptJob.run``.
    """
    watch = _Watch()
    supervisor = Supervisor(run.zygote, zygote_lost=watch.lost)
    host = Host(announce=announce, patience_s=patience_s, sandbox_level_min=run.sandbox_level_min)
    client = Client(dial_within(host), patience_s=0)
    try:
        async with _script_job(run, supervisor, default_memory_bytes(1)) as job:
            watch.job = job
            async with listening(host, address, entry) as listener:
                announce(f"listening on {listener.address}")
                invite(listener.address)
                await job.load()
                await client.connect()
                return await job.run(client)
    finally:
        client.close()
        await host.close("the script is done")
        supervisor.close()


class _Watch:
    """Ends the job when the processes of this node are gone; there may be no job yet."""

    def __init__(self) -> None:
        self.job: ScriptJob | None = None

    def lost(self, error: ProcessLost) -> None:
        if self.job is not None:
            self.job.job_lost(error)

    def cluster_failed(self, failed: asyncio.Future[None]) -> None:
        if not failed.cancelled():
            error = failed.exception()
            assert isinstance(error, ProcessLost)
            self.lost(error)


@contextlib.asynccontextmanager
async def open_script_job(
    path: Path,
    options: JobOptions,
    view: View,
    supervisor: Supervisor,
    *,
    memory_default_bytes: int,
    sandbox_level_max: int = 3,
    sandbox_level_min: int = 0,
    working_directory: str,
    journal: Path | None = None,
) -> AsyncIterator[ScriptJob]:
    """The job of a script, with a process for its own functions and a journal, if any.

    Raises:
        JournalRefused, JournalFailed: that cannot be its journal.
        UsageError: there is no such script.
        ScriptError: it is bytecode.
        ProcessLost: no process can be started.
    """
    async with contextlib.AsyncExitStack() as closing:
        record = None
        if journal is not None:
            record = await Journal.open(journal)
            closing.push_async_callback(record.close)
        script = ScriptProcess(
            supervisor,
            node=node_name(),
            memory_bytes=options.driver_memory_bytes
            or options.memory_bytes
            or memory_default_bytes,
            sandbox_level_max=sandbox_level_max,
            working_directory=working_directory,
            sandbox_level_min=sandbox_level_min,
            permissions=Permissions.of_driver(working_directory, options.allow_write).denying(
                options.denied
            ),
            private=state.private(),
            printed=lambda text: view.printed(0, "", text),
        )
        closing.callback(script.kill)
        yield ScriptJob(path, script, options, view, record)


def _script_job(
    run: Run, supervisor: Supervisor, memory_default_bytes: int
) -> contextlib.AbstractAsyncContextManager[ScriptJob]:
    return open_script_job(
        run.path,
        run.options,
        run.view,
        supervisor,
        memory_default_bytes=memory_default_bytes,
        sandbox_level_max=run.sandbox_level_max,
        sandbox_level_min=run.sandbox_level_min,
        working_directory=str(Path.cwd()),
        journal=run.journal,
    )
