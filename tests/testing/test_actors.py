"""Real hosts, nodes and clients on simulated machines."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from midas_mp.client.question import control
from midas_mp.scheduler.events import PeerLost
from midas_mp.scheduler.records import ClientRecord, Job
from midas_mp.testing.actors import (
    CheckedScheduler,
    SimulatedClient,
    SimulatedHost,
    SimulatedNode,
    Stage,
)
from midas_mp.testing.chance import Chance
from midas_mp.testing.connection import Site
from midas_mp.testing.network import Network, Weather
from midas_mp.testing.orders import Orders
from midas_mp.testing.scenario import ClientPlan, JobPlan, NodePlan
from midas_mp.testing.trace import Trace
from midas_mp.wire.management import Action
from midas_mp.wire.messages import JobSpec, OpenJob


class Cluster:
    """One host, one node of two workers, one client of one job."""

    def __init__(
        self,
        *,
        tasks: int = 6,
        seconds: float = 1.0,
        may_kill: bool = False,
        journals: Path | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.problems: list[str] = []
        self.trace = Trace(loop.time, None)
        self.network = Network(Weather(), Chance("network"), self.trace)
        stage = Stage(
            self.network,
            self.trace,
            Chance("test"),
            {},
            self.problems.append,
            may_kill=may_kill,
            folder=journals or Path(),
        )
        self.host = SimulatedHost(stage)
        self.node = SimulatedNode(stage, NodePlan("node0", 2, 1.0, ["luajit"], 0.0))
        orders = [Orders("job", 0, index, seconds) for index in range(tasks)]
        job = JobPlan("job", "luajit", [orders], 0, 0.0, 10, 0.0, 0.0, None, None, {})
        plan = ClientPlan("client0", [job], 0.0, keeps_journals=journals is not None)
        self.client = SimulatedClient(stage, plan)
        for actor in (self.host, self.node, self.client):
            actor.start()

    async def until_over(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            if self.client.is_over:
                return
            await asyncio.sleep(0.1)
        pytest.fail(self.client.story())

    async def close(self) -> None:
        self.node.retire()
        await self.host.stop()
        await asyncio.sleep(60)
        assert self.problems == []
        own = asyncio.current_task()
        assert [task for task in asyncio.all_tasks() if task is not own] == []


def test_a_job_runs_and_leaves_nothing_behind(play):
    async def main() -> None:
        cluster = Cluster()
        await cluster.until_over(10)
        assert cluster.trace.counts["results"] == 6
        await asyncio.sleep(5)
        assert cluster.host.remains() == cluster.node.remains() == []
        await cluster.close()

    play(main())


def test_what_is_under_way_remains(play):
    async def main() -> None:
        cluster = Cluster(seconds=100.0)
        await asyncio.sleep(20)
        assert any(line.startswith("job ") for line in cluster.host.remains())
        assert any("is busy" in line for line in cluster.host.remains())
        assert "node0 holds 2 tasks" in cluster.node.remains()
        missing = [(0, index) for index in range(6)]
        assert cluster.client.story() == f"job: 0 in, not {missing}"
        cluster.client.crash(is_silent=False)
        await asyncio.sleep(30)
        assert any(line.endswith("is away") for line in cluster.host.remains())

    play(main())


def test_a_crashed_host_is_followed_by_one_that_knows_nothing(play):
    async def main() -> None:
        cluster = Cluster(seconds=3.0)
        await asyncio.sleep(10)
        before = cluster.host.host
        cluster.host.crash(is_silent=False)
        assert cluster.host.host is None
        assert cluster.host.remains() == []
        await asyncio.sleep(3)
        cluster.host.start()
        assert cluster.host.host is not before
        await cluster.until_over(120)
        assert cluster.trace.counts["results"] == 6
        await cluster.close()

    play(main())


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_crashed_node_comes_again_as_another(play, is_silent):
    async def main() -> None:
        cluster = Cluster(seconds=3.0)
        await asyncio.sleep(8)
        processes = list(cluster.node.supervisor.processes)
        cluster.node.crash(is_silent=is_silent)
        assert cluster.node.remains() == []
        await asyncio.sleep(1)
        cluster.node.start()
        await cluster.until_over(120)
        assert not set(processes) & set(cluster.node.supervisor.processes)
        assert cluster.trace.counts["node starts"] == 2
        await cluster.close()

    play(main())


def test_a_crashed_client_leaves_its_job_to_the_hosts_patience(play):
    async def main() -> None:
        cluster = Cluster(seconds=1_000.0)
        await asyncio.sleep(10)
        cluster.client.crash(is_silent=False)
        assert cluster.client.is_over
        assert cluster.host.remains() != []
        await asyncio.sleep(90)
        assert cluster.host.remains() == cluster.node.remains() == []
        cluster.client.start()
        await cluster.close()

    play(main())


def test_a_client_that_keeps_journals_comes_again_and_goes_on(play, tmp_path):
    async def main() -> None:
        cluster = Cluster(journals=tmp_path)
        await asyncio.sleep(1.9)
        results = cluster.trace.counts["results"]
        assert 0 < results < 6
        cluster.client.crash(is_silent=False)
        assert not cluster.client.is_over
        await asyncio.sleep(3)
        cluster.client.start()
        cluster.client.start()
        await cluster.until_over(20)
        assert cluster.trace.counts["results in journals"] == results
        assert cluster.trace.counts["results"] == 6
        await asyncio.sleep(90)  # the host's patience with its first life
        await cluster.close()

    play(main())


def test_a_node_whose_processes_never_get_ready_is_started_again(play):
    async def main() -> None:
        cluster = Cluster()
        for _ in range(200):
            await asyncio.sleep(0.001)
            for process in list(cluster.node.supervisor.processes):
                process.die(signal.SIGKILL)
            if cluster.node.site is None:
                break
        assert cluster.node.site is None
        await cluster.until_over(60)
        await cluster.close()

    play(main())


@pytest.mark.parametrize("may_kill", [True, False])
def test_a_node_that_somebody_killed_comes_again_as_another(play, may_kill):
    async def main() -> None:
        cluster = Cluster(seconds=3.0, may_kill=may_kill)
        await asyncio.sleep(2)
        node_id = cluster.node.launcher._node_id
        dial = cluster.network.dial_from(Site("somebody"))
        await control(dial, Action.KILL, "node0", node_id="abcd")
        await asyncio.sleep(1)
        if not may_kill:
            assert cluster.problems == ["node0 ended: None"]
            return
        assert cluster.node.site is None
        await cluster.until_over(60)
        assert cluster.node.launcher._node_id != node_id
        assert cluster.trace.counts["nodes killed"] == 1
        await cluster.close()

    play(main())


def test_a_step_after_which_the_tables_contradict_each_other_raises():
    scheduler = CheckedScheduler(Trace(lambda: 0.0, None))
    client = ClientRecord(1, "ab", "client")
    scheduler.state.jobs["x"] = Job(
        client, OpenJob("y", "", JobSpec()), scheduler.state.backlogs, 0.0
    )
    with pytest.raises(AssertionError):
        scheduler.step([PeerLost(7, "gone")], 0.0)
