"""The three kinds of programs in a simulated cluster, each with its real code inside.

A host, a node's participant, a client: started, stopped in order, or gone in the middle of
anything.  Only what lies around them is simulated, see ``network`` and ``processes``.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

from midas_mp.client.client import Client
from midas_mp.errors import PeerError, WorldError
from midas_mp.host.host import Host
from midas_mp.participant.launcher import Launcher
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.participant.service import visit_hosts
from midas_mp.participant.supervisor import Supervisor
from midas_mp.scheduler import invariants
from midas_mp.scheduler.events import Event, Ready
from midas_mp.scheduler.scheduler import Scheduler
from midas_mp.scheduler.tables import WorkerState
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import Site
from midas_mp.testing.diary import Diary
from midas_mp.testing.network import Network
from midas_mp.testing.processes import Blamed, Ground, SimulatedSupervisor
from midas_mp.testing.scenario import ClientPlan, NodePlan
from midas_mp.testing.script import ScriptedJob
from midas_mp.testing.trace import Trace

HOST: Final = "host"
OPERATOR_S: Final = 3.0
"""Until somebody starts a participant again that ended with an error."""


class Stage(NamedTuple):
    """What all of them share.

    Attributes:
        is_calm: whether everything that is said arrives, once.
        may_kill: whether somebody may kill a node.
        folder: for the journals of clients that keep some.
        object_to: takes a sentence about what must never happen, and ends the run.
    """

    network: Network
    trace: Trace
    rng: Chance
    blamed: Blamed
    object_to: Callable[[str], None]
    is_calm: bool = False
    may_kill: bool = False
    folder: Path = Path()

    def announce(self, site: Site) -> Callable[[str], None]:
        return lambda text: self.trace.note(site.name, "says:", text)


class CheckedScheduler(Scheduler):
    """Looks at itself after every step, and counts what is rare."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self._before: Counter[str] = Counter()

    def step(self, events: Sequence[Event], now: float) -> Ready:
        ready = super().step(events, now)
        invariants.check(self.state)
        after = self._figures()
        self._trace.counts += after - self._before
        self._before = after
        return ready

    def _figures(self) -> Counter[str]:
        """What only grows, and what is kept for a while: then its growth is counted."""
        state = self.state
        workers = [worker for node in state.nodes.values() for worker in node.workers.values()]
        return Counter(
            {
                "copies": state.copying.count,
                "duplicates dropped": state.duplicates,
                "nodes set aside": sum(len(job.standings.set_aside) for job in state.jobs.values()),
                "leases lost with their worker": state.retries,
                "tasks adopted": sum(len(worker.adopted) for worker in workers),
                "results too early": sum(len(stray.early) for stray in state.strays.values()),
                "clients away": len(state.away),
            }
        )


class SimulatedHost:
    """The host, and the one after it, at the same address."""

    def __init__(self, stage: Stage) -> None:
        self.site: Site
        self.host: Host | None = None
        self._stage = stage
        self._closing: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self.host is not None:
            return
        site = self.site = Site(HOST)
        host = self.host = Host(announce=self._stage.announce(site))
        host.scheduler = CheckedScheduler(self._stage.trace)
        self._stage.network.listen(site, lambda: (host, host.conversation()))
        self._stage.trace.note(HOST, "starts")

    def crash(self, *, is_silent: bool) -> None:
        """It is gone, with its memory."""
        host, self.host = self.host, None
        if host is not None:
            self._stage.trace.note(HOST, "crashes")
            self._stage.network.bury(self.site, is_silent=is_silent)
            self._closing = asyncio.ensure_future(host.close("nobody hears it"))

    async def stop(self) -> None:
        """It says goodbye to everybody; its memory is gone all the same."""
        host, self.host = self.host, None
        if host is not None:
            self._stage.trace.note(HOST, "stops")
            await host.close("the host is stopping")
            self._stage.network.bury(self.site, is_silent=False)

    def names(self) -> list[str]:
        """Of all that could be told to stand still, or to end."""
        if self.host is None:
            return []
        state = self.host.scheduler.state
        names = list(state.jobs)
        for node in state.nodes.values():
            names += [node.name, *(worker.name for worker in node.workers.values())]
        return names

    def remains(self) -> list[str]:
        """What it still remembers of jobs that are over."""
        if self.host is None:
            return []
        state = self.host.scheduler.state
        lines = [job.label for job in state.jobs.values()]
        lines += [f"client {client.name} is away" for client in state.away.values()]
        lines += [f"job {job} may come back" for job in state.strays]
        for node in state.nodes.values():
            lines += [f"{node.label} knows {job}" for job in node.begun]
            lines += [
                f"{worker.label} is {worker.state}"
                for worker in node.workers.values()
                if worker.state is not WorkerState.IDLE
            ]
        return lines


class SimulatedNode:
    """What ``midas participant`` is on one machine, time and again."""

    def __init__(self, stage: Stage, plan: NodePlan) -> None:
        self.plan = plan
        self.site: Site | None = None
        self.supervisor: SimulatedSupervisor
        self.launcher: Launcher
        self._stage = stage
        self._visits: asyncio.Task[None]
        self._draining: asyncio.Task[None] | None = None
        self._starts = 0
        self._is_retired = False
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        if self.site is not None or self._is_retired:
            return
        stage, plan = self._stage, self.plan
        site = self.site = Site(plan.name)
        ground = Ground(
            site,
            stage.rng,
            stage.trace,
            plan.speed,
            plan.engines,
            stage.blamed,
            stage.object_to,
            plan.is_bad,
        )
        self._starts += 1
        self.supervisor = SimulatedSupervisor(ground)
        dial = stage.network.dial_from(site)
        announce = stage.announce(site)
        jitter = stage.rng.branch()
        self.launcher = Launcher(
            cast("Supervisor", self.supervisor),  # all that a launcher needs of one
            NodeSettings(plan.name, name_is_explicit=False, workers=plan.workers, memory_bytes=0),
            node_id=Chance(f"{plan.name} {self._starts}").randbytes(16).hex(),
            announce=announce,
            dial=dial,
            jitter=jitter,
        )
        visits = visit_hosts(dial, self.launcher, where=HOST, announce=announce, jitter=jitter)
        self._visits = asyncio.ensure_future(visits)
        self._visits.add_done_callback(self._ended)
        self.launcher.failed.add_done_callback(self._failed)
        stage.trace.count("node starts")
        stage.trace.note(plan.name, "starts")

    def crash(self, *, is_silent: bool) -> None:
        """All of it is gone."""
        if self.site is not None:
            self._stage.trace.note(self.plan.name, "crashes")
            self._stage.network.bury(self.site, is_silent=is_silent)
            self.leave()

    def drain(self, grace_s: float) -> None:
        """It ends as SIGTERM lets it end."""
        if self.site is None or self._draining is not None:
            return
        self._stage.trace.note(self.plan.name, "drains")
        self._draining = asyncio.ensure_future(self._drain(self.launcher, grace_s))

    async def _drain(self, launcher: Launcher, grace_s: float) -> None:
        await launcher.drain("draining", grace_s)
        self._draining = None
        self.leave()

    def leave(self) -> None:
        """It ends as a Ctrl-C ends it."""
        if self.site is None:
            return
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None
        self._stage.trace.note(self.plan.name, "leaves")
        self.site = None
        self._visits.cancel()
        self.launcher.leave("the participant is stopping")
        self.supervisor.close()

    def retire(self) -> None:
        """It leaves, and does not come again."""
        self._is_retired = True
        self.leave()

    def remains(self) -> list[str]:
        """What it and its processes still know of jobs that are over."""
        if self.site is None:
            return []
        launcher = self.launcher
        lines = [f"{self.plan.name} knows {job}" for job in launcher._jobs]  # noqa: SLF001 - a leak shows nowhere else
        awake = [process for process in self.supervisor.processes if not process.is_stopped]
        lines += [f"{process.name} knows {job}" for process in awake for job in process.jobs]
        if launcher.held_count:
            lines.append(f"{self.plan.name} holds {launcher.held_count} tasks")
        return lines

    def _ended(self, visits: asyncio.Task[None]) -> None:
        if visits.cancelled() or self.site is None:
            return
        error = visits.exception()
        self._stage.trace.note(self.plan.name, "ends with", error)
        if error is None and self._stage.may_kill:
            self._stage.trace.count("nodes killed")
            self._start_again()
        elif isinstance(error, PeerError) and self.site.is_glitched:
            self._start_again()
        else:
            self._stage.object_to(f"{self.plan.name} ended: {error!r}")

    def _failed(self, failed: asyncio.Future[None]) -> None:
        """Its processes were killed again and again before they were ready."""
        if self.site is not None and failed is self.launcher.failed:
            self._stage.trace.note(self.plan.name, "fails:", failed.exception())
            self._start_again()

    def _start_again(self) -> None:
        self.leave()
        self._loop.call_later(OPERATOR_S, self.start)


class SimulatedClient:
    """Somebody who runs some jobs at the host."""

    def __init__(self, stage: Stage, plan: ClientPlan) -> None:
        stage.trace.alias(f"client-{os.getpid()}", "client")
        self.plan = plan
        self.site = Site(plan.name)
        self._stage = stage
        self._lives = 0
        self._diaries: list[Diary | None] = [None] * len(plan.jobs)
        if plan.keeps_journals:
            self._diaries = [
                Diary(stage.folder / job.title, stage.rng.branch(), stage.object_to)
                for job in plan.jobs
            ]
        self.jobs = self._make_jobs()
        self._client: Client | None = None
        self._work: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        if self.site.is_dead:
            return not self.plan.keeps_journals
        return self._work is not None and self._work.done()

    def story(self) -> str:
        """How far its jobs are."""
        return "; ".join(job.story() for job in self.jobs)

    def start(self) -> None:
        """For the first time, or again: then it goes on by its journals."""
        if self.site.is_dead:
            if not self.plan.keeps_journals:
                return
            self.site = Site(self.plan.name)
            self.jobs = self._make_jobs()
        elif self._work is not None:
            return
        self._lives += 1
        self._work = asyncio.ensure_future(self._run())
        self._work.add_done_callback(self._ended)

    def crash(self, *, is_silent: bool) -> None:
        """It is gone, and for good if it keeps no journals."""
        if not self.site.is_dead:
            self._stage.trace.note(self.plan.name, "crashes")
            self._stage.network.bury(self.site, is_silent=is_silent)
            if self._work is not None:
                self._work.cancel()
            for job in self.jobs:
                job.abandon()
            for diary in self._diaries:
                if diary is not None:
                    diary.crash()

    def _make_jobs(self) -> list[ScriptedJob]:
        stage = self._stage
        return [
            ScriptedJob(
                plan,
                self.site,
                stage.trace,
                stage.blamed,
                stage.object_to,
                must_hear_prints=stage.is_calm,
                diary=diary,
            )
            for plan, diary in zip(self.plan.jobs, self._diaries, strict=True)
        ]

    async def _run(self) -> None:
        client = self._client = await self._connect()
        try:
            await asyncio.gather(*(job.run(client) for job in self.jobs))
        finally:
            client.close()

    async def _connect(self) -> Client:
        number = 0
        while True:
            number += 1
            source = Chance(f"{self.plan.name} {self._lives} {number}")
            dial = self._stage.network.dial_from(self.site)
            client = Client(dial, node_id=source.randbytes(16).hex(), jitter=source)
            try:
                await client.connect()
            except WorldError as error:
                self._stage.trace.note(self.plan.name, "cannot connect:", error)
                await asyncio.sleep(1)
            else:
                return client

    def _ended(self, work: asyncio.Task[None]) -> None:
        if work.cancelled() or self.site.is_dead:
            return
        error = work.exception()
        if error is not None and not (isinstance(error, PeerError) and self.site.is_glitched):
            self._stage.object_to(f"{self.plan.name} ended: {error!r}")
