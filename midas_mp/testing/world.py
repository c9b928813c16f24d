"""One run of one seed, from the first start to the last goodbye, and what must hold at its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from midas_mp.testing.actors import SimulatedClient, SimulatedHost, SimulatedNode, Stage
from midas_mp.testing.chance import Chance
from midas_mp.testing.disk import memory_folder
from midas_mp.testing.faults import Trouble
from midas_mp.testing.network import Network
from midas_mp.testing.processes import Blamed
from midas_mp.testing.scenario import QUIET_S, Fault, Scenario, draw
from midas_mp.testing.tightness import tightened
from midas_mp.testing.trace import Trace
from midas_mp.testing.virtual_time import Deadlock, Livelock, VirtualTimeLoop
from midas_mp.testing.witness import Witness

AFTERMATH_S: Final = 60.0
"""After everybody has left: the last timers fire, and nothing is left to wait for."""


class Verdict(NamedTuple):
    """How a run went.

    Attributes:
        problem: what must never happen and did, first of all; empty if nothing did.
        digest: of the trace, where somebody read it.
    """

    seed: int
    problem: str
    counts: Counter[str]
    virtual_s: float
    digest: str


def run(
    seed: int, write: Callable[[str], None] | None = None, scenario: Scenario | None = None
) -> Verdict:
    """Play the scenario of a seed, or another one; ``write`` takes the lines of its trace."""
    gc.freeze()  # what was there before is no affair of this run, and makes it slow
    gc.disable()  # what a collection finds must not depend on when it comes
    try:
        return _run(seed, write, scenario or draw(seed))
    finally:
        gc.collect()
        gc.enable()
        gc.unfreeze()


def _run(seed: int, write: Callable[[str], None] | None, scenario: Scenario) -> Verdict:
    loop = VirtualTimeLoop()
    with memory_folder("midas-simulator-") as folder:
        world = _World(seed, loop, write, scenario, Path(folder))
        try:
            with tightened(world.scenario.limits):
                world.play()
            gc.collect()  # a future that nobody asked for its exception tells so when it is freed
        finally:
            world.clear_up()
            loop.close()
    trace = world.trace
    return Verdict(seed, world.problem, trace.counts, loop.time(), trace.digest)


class _World:
    def __init__(
        self,
        seed: int,
        loop: VirtualTimeLoop,
        write: Callable[[str], None] | None,
        scenario: Scenario,
        folder: Path,
    ) -> None:
        self._folder = folder
        self.problem = ""
        self.trace = Trace(loop.time, write)
        self._seed = seed
        self._loop = loop
        self.scenario = scenario
        self._host: SimulatedHost
        self._nodes: list[SimulatedNode] = []
        self._clients: list[SimulatedClient] = []
        loop.set_exception_handler(self._heard)

    def play(self) -> None:
        try:
            self._loop.run_until_complete(self._play())
        except (Deadlock, Livelock) as error:
            self._object_to(f"{type(error).__name__}: {error}; {self._unfinished()}")
        except RuntimeError:
            if not self.problem:  # else the loop was stopped because of it
                raise

    def clear_up(self) -> None:
        """End what a run that failed left in the middle of something, whatever that does."""
        self._loop.set_exception_handler(lambda _loop, _context: None)
        tasks = asyncio.all_tasks(self._loop)
        if tasks:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(Deadlock, Livelock):
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=AFTERMATH_S))
            gc.collect()

    async def _play(self) -> None:
        scenario = self.scenario
        rng = Chance(f"run {self._seed}")
        witness = Witness(self._object_to)
        network = Network(scenario.weather, rng.branch(), self.trace, witness)
        blamed: Blamed = {}
        stage = Stage(
            network,
            self.trace,
            rng,
            blamed,
            self._object_to,
            scenario.is_calm,
            may_kill=Fault.KILL in scenario.faults,
            folder=self._folder,
        )
        self._host = SimulatedHost(stage)
        self._host.start()
        self._nodes = [SimulatedNode(stage, plan) for plan in scenario.nodes]
        self._clients = [SimulatedClient(stage, plan) for plan in scenario.clients]
        for node in self._nodes:
            self._loop.call_at(node.plan.starts_at, node.start)
        for client in self._clients:
            self._loop.call_at(client.plan.starts_at, client.start)
        await Trouble(stage, scenario, self._host, self._nodes, self._clients).run()
        await self._finish(scenario)

    async def _finish(self, scenario: Scenario) -> None:
        """After the last fault: jobs end, then nothing is left of them, then nobody is."""
        if not await self._within(scenario.liveness_s, lambda: not self._unfinished()):
            self._object_to(f"not ended after {scenario.liveness_s:.0f} s: {self._unfinished()}")
        if not await self._within(QUIET_S, lambda: not self._remains()):
            self._object_to(f"left over: {self._remains()}")
        for node in self._nodes:
            node.retire()
        await self._host.stop()
        await asyncio.sleep(AFTERMATH_S)
        own = asyncio.current_task()
        tasks = sorted(str(task.get_coro()) for task in asyncio.all_tasks() if task is not own)
        if tasks:
            self._object_to(f"tasks are still pending: {tasks}")
            await asyncio.sleep(0)  # the loop stops here, and not in the middle of its own ending

    async def _within(self, seconds: float, condition: Callable[[], bool]) -> bool:
        end = self._loop.time() + seconds
        while not condition():
            if self._loop.time() >= end:
                return False
            await asyncio.sleep(1)
        return True

    def _remains(self) -> list[str]:
        """What the jobs left behind at the host and at the nodes."""
        return [*self._host.remains(), *(line for node in self._nodes for line in node.remains())]

    # -- what must never happen ------------------------------------------------------------------

    def _object_to(self, what: str) -> None:
        if not self.problem:
            self.trace.note("simulator", "objects:", what)
            self.problem = what
            self._loop.stop()

    def _heard(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._object_to(f"{context['message']}: {error!r}\n{_place(error)}")

    def _unfinished(self) -> list[str]:
        """What clients still wait for."""
        return [client.story() for client in self._clients if not client.is_over]


def _place(error: BaseException | None) -> str:
    return "".join(traceback.format_exception(error)) if error is not None else ""
