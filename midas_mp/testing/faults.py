"""Trouble: does to a cluster what the seed says, when it says so, and repairs it in the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable

from midas_mp.client.question import control
from midas_mp.errors import MidasError
from midas_mp.testing.actors import SimulatedClient, SimulatedHost, SimulatedNode, Stage
from midas_mp.testing.connection import Site
from midas_mp.testing.scenario import Fault, Scenario
from midas_mp.wire.management import Action, ControlAnswered
from midas_mp.wire.messages import Role

DOWN_S_MAX = 8.0
FROZEN_S_MAX = 15.0
NOTICED_S_MAX = 60.0
"""Of those whose peers do not wait for so long."""

PAUSED_S_MAX = 20.0
UNNOTICED_S_MAX = 35.0


class Trouble:
    """Everything that goes wrong in one run."""

    def __init__(
        self,
        stage: Stage,
        scenario: Scenario,
        host: SimulatedHost,
        nodes: list[SimulatedNode],
        clients: list[SimulatedClient],
    ) -> None:
        self._network = stage.network
        self._trace = stage.trace
        self._scenario = scenario
        self._host = host
        self._nodes = nodes
        self._clients = clients
        self._rng = stage.rng.branch()
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._dial = stage.network.dial_from(Site("somebody"))
        self._paused: dict[str, None] = {}
        """Whatever was to be paused, sometime."""
        self._questions: set[asyncio.Future[ControlAnswered]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._acts: dict[Fault, Callable[[], None]] = {
            Fault.CUT: self._cut,
            Fault.HALF_CUT: self._half_cut,
            Fault.CUT_BULK: self._cut_bulk,
            Fault.REFUSE: self._refuse,
            Fault.PART: self._part,
            Fault.KILL_WORKER: self._kill_worker,
            Fault.STOP_WORKER: self._stop_worker,
            Fault.CRASH_NODE: self._crash_node,
            Fault.FREEZE_NODE: self._freeze_node,
            Fault.LEAVE_NODE: self._leave_node,
            Fault.DRAIN_NODE: self._drain_node,
            Fault.PAUSE: self._pause,
            Fault.KILL: self._kill,
            Fault.CRASH_HOST: self._crash_host,
            Fault.STOP_HOST: self._stop_host,
            Fault.FREEZE_HOST: self._freeze_host,
            Fault.FREEZE_CLIENT: self._freeze_client,
            Fault.CRASH_CLIENT: self._crash_client,
        }

    async def run(self) -> None:
        """Until the end of the fault phase; then all is well again, within seconds."""
        end = self._loop.time() + self._scenario.fault_phase_s
        due = {fault: self._next(apart_s) for fault, apart_s in self._scenario.faults.items()}
        while due:
            fault = min(due, key=lambda fault: due[fault])
            if due[fault] >= end:
                break
            await asyncio.sleep(due[fault] - self._loop.time())
            due[fault] = self._next(self._scenario.faults[fault])
            self._acts[fault]()
        await asyncio.sleep(end - self._loop.time())
        await self._repair()

    def _next(self, apart_s: float) -> float:
        return self._loop.time() + self._rng.expovariate(1 / apart_s)

    async def _repair(self) -> None:
        self._trace.note("trouble", "is over")
        self._is_over = True
        if self._stopping is not None:
            await self._stopping
        self._network.heal()
        self._host.start()
        for node in self._nodes:
            node.start()
        for client in self._clients:
            client.start()
        now = self._loop.time()
        sites = [self._host.site, *(client.site for client in self._clients)]
        for site in [*sites, *(node.site for node in self._nodes if node.site is not None)]:
            site.frozen_until = min(site.frozen_until, now)
        if self._questions:
            await self._be_answered()
        await self._resume_all()

    def _thaws_at(self) -> float:
        most_s = self._rng.choice([FROZEN_S_MAX, NOTICED_S_MAX])
        return self._loop.time() + self._rng.uniform(0.1, most_s)

    # -- connections -----------------------------------------------------------------------------

    def _cut(self) -> None:
        links = self._network.links()
        if links:
            self._network.cut(self._rng.choice(links), 0, 0)

    def _half_cut(self) -> None:
        links = self._network.links()
        if links:
            delays_s = [0, self._rng.uniform(0, self._rng.choice([1, UNNOTICED_S_MAX]))]
            self._rng.shuffle(delays_s)
            self._network.cut(self._rng.choice(links), *delays_s)

    def _cut_bulk(self) -> None:
        links = [link for link in self._network.links() if link.conversation.remote is Role.BULK]
        if links:
            self._network.cut(self._rng.choice(links), 0, 0)

    def _refuse(self) -> None:
        self._trace.note("network", "refuses")
        self._network.refuses_until = self._loop.time() + self._rng.uniform(0.1, DOWN_S_MAX)

    def _part(self) -> None:
        names = [node.plan.name for node in self._nodes]
        names += [client.plan.name for client in self._clients]
        away = self._rng.sample(names, self._rng.randint(1, len(names)))
        self._network.part(
            away,
            self._rng.choice([0.3, 3, 20, 60]) * self._rng.random(),
            deaf=self._rng.choice([None, None, True, False]),
            is_told=self._rng.happens(0.5),
        )

    # -- nodes -----------------------------------------------------------------------------------

    def _some_node(self) -> SimulatedNode | None:
        running = [node for node in self._nodes if node.site is not None]
        return self._rng.choice(running) if running else None

    def _kill_worker(self) -> None:
        node = self._some_node()
        processes = list(node.supervisor.processes) if node is not None else []
        if processes:
            self._trace.count("kills")
            self._rng.choice(processes).die(signal.SIGKILL)

    def _stop_worker(self) -> None:
        node = self._some_node()
        processes = list(node.supervisor.processes) if node is not None else []
        if processes:
            process = self._rng.choice(processes)
            self._trace.count("workers stopped")
            self._trace.note(process.name, "is stopped by somebody")
            process.is_stopped = True

    def _crash_node(self) -> None:
        node = self._some_node()
        if node is not None:
            self._trace.count("node crashes")
            node.crash(is_silent=self._rng.happens(0.5))
            self._loop.call_later(self._rng.uniform(0.1, DOWN_S_MAX), node.start)

    def _freeze_node(self) -> None:
        node = self._some_node()
        if node is not None and node.site is not None:
            self._trace.count("freezes")
            self._trace.note(node.plan.name, "freezes")
            node.site.frozen_until = self._thaws_at()

    def _leave_node(self) -> None:
        node = self._some_node()
        if node is not None:
            self._trace.count("nodes left")
            node.leave()
            self._loop.call_later(self._rng.uniform(0.1, DOWN_S_MAX), node.start)

    def _drain_node(self) -> None:
        node = self._some_node()
        if node is not None:
            self._trace.count("nodes drained")
            node.drain(self._rng.uniform(0.1, DOWN_S_MAX))
            self._loop.call_later(self._rng.uniform(DOWN_S_MAX, 2 * DOWN_S_MAX), node.start)

    # -- what somebody asks for ------------------------------------------------------------------

    def _pause(self) -> None:
        """A job, a node or a worker, by some name that the host knows, for a while."""
        names = self._host.names()
        if names:
            self._trace.count("pauses")
            name = self._rng.choice(names)
            self._paused[name] = None
            self._ask(Action.PAUSE, name)
            self._loop.call_later(self._rng.uniform(0.1, PAUSED_S_MAX), self._resume, name)

    def _resume(self, name: str) -> None:
        if not self._is_over:
            self._ask(Action.RESUME, name)

    def _kill(self) -> None:
        names = self._host.names()
        if names:
            self._trace.count("kills asked for")
            name = self._rng.choice(names)
            for job in (job for client in self._clients for job in client.jobs):
                job.is_killed(name)
            self._ask(Action.KILL, name)

    def _ask(self, action: Action, name: str) -> None:
        self._trace.note("somebody", f"wants {action.name}", name)
        question = control(self._dial, action, name, node_id=self._new_id())
        self._questions.add(asyncio.ensure_future(question))

    def _new_id(self) -> str:
        return self._rng.randbytes(16).hex()

    async def _be_answered(self) -> None:
        """What no host has heard by then it never will."""
        await asyncio.wait(self._questions, timeout=PAUSED_S_MAX)
        for question in self._questions:
            question.cancel()
        await asyncio.gather(*self._questions, return_exceptions=True)

    async def _resume_all(self) -> None:
        """Until a host has heard it."""
        for name in self._paused:
            while True:
                with contextlib.suppress(MidasError):
                    await control(self._dial, Action.RESUME, name, node_id=self._new_id())
                    break
                await asyncio.sleep(1)

    # -- the host --------------------------------------------------------------------------------

    def _crash_host(self) -> None:
        if self._host.host is not None:
            self._trace.count("host restarts")
            self._host.crash(is_silent=self._rng.happens(0.3))
            self._loop.call_later(self._rng.uniform(0.1, DOWN_S_MAX), self._start_host)

    def _stop_host(self) -> None:
        if self._host.host is not None:
            self._trace.count("host restarts")
            self._stopping = asyncio.ensure_future(self._host.stop())
            self._loop.call_later(self._rng.uniform(3, DOWN_S_MAX), self._start_host)

    def _start_host(self) -> None:
        if not self._is_over:
            self._host.start()

    def _freeze_host(self) -> None:
        self._trace.count("freezes")
        self._trace.note("host", "freezes")
        self._host.site.frozen_until = self._thaws_at()

    # -- clients ---------------------------------------------------------------------------------

    def _freeze_client(self) -> None:
        client = self._rng.choice(self._clients)
        self._trace.count("freezes")
        self._trace.note(client.plan.name, "freezes")
        client.site.frozen_until = self._loop.time() + self._rng.uniform(0.1, FROZEN_S_MAX)

    def _crash_client(self) -> None:
        client = self._rng.choice(self._clients)
        is_last = all(other.is_over for other in self._clients if other is not client)
        if client.plan.keeps_journals:
            if not (client.is_over or client.site.is_dead):
                self._trace.count("client restarts")
                client.crash(is_silent=self._rng.happens(0.5))
                self._loop.call_later(self._rng.uniform(0.1, DOWN_S_MAX), client.start)
        elif not client.is_over and (not is_last or self._rng.happens(0.2)):
            self._trace.count("client crashes")
            client.crash(is_silent=self._rng.happens(0.5))
