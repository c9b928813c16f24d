"""Everything that can go wrong does, and is repaired."""

from __future__ import annotations

import asyncio

import pytest

from midas_mp.testing.actors import SimulatedClient, SimulatedHost, SimulatedNode, Stage
from midas_mp.testing.chance import Chance
from midas_mp.testing.faults import Trouble
from midas_mp.testing.network import Network, Weather
from midas_mp.testing.orders import Orders
from midas_mp.testing.scenario import ClientPlan, Fault, JobPlan, NodePlan, Scenario
from midas_mp.testing.trace import Trace

COUNTED = {
    Fault.CUT: "cuts",
    Fault.HALF_CUT: "cuts",
    Fault.PART: "partitions",
    Fault.KILL_WORKER: "kills",
    Fault.CRASH_NODE: "node crashes",
    Fault.STOP_WORKER: "workers stopped",
    Fault.FREEZE_NODE: "freezes",
    Fault.LEAVE_NODE: "nodes left",
    Fault.DRAIN_NODE: "nodes drained",
    Fault.PAUSE: "pauses",
    Fault.KILL: "kills asked for",
    Fault.CRASH_HOST: "host restarts",
    Fault.STOP_HOST: "host restarts",
    Fault.FREEZE_HOST: "freezes",
    Fault.FREEZE_CLIENT: "freezes",
    Fault.CRASH_CLIENT: "client crashes",
}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.CUT_BULK])
def test_a_fault_happens_as_often_as_it_is_to_and_all_is_well_in_the_end(play, fault):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        lines: list[str] = []
        problems: list[str] = []
        trace = Trace(loop.time, lines.append)
        network = Network(Weather(), Chance("network"), trace)
        stage = Stage(network, trace, Chance("test"), {}, problems.append, may_kill=True)
        host = SimulatedHost(stage)
        nodes = [SimulatedNode(stage, NodePlan(f"node{n}", 2, 1.0, ["luajit"], 0)) for n in "01"]
        clients = []
        for name in ("client0", "client1"):
            orders = [Orders(name, 0, index, 0.5) for index in range(100)]
            job = JobPlan(name, "luajit", [orders], 0, 0.0, 10, 0.0, 0.0, None, None, {})
            clients.append(SimulatedClient(stage, ClientPlan(name, [job], 0.0)))
        for actor in (host, *nodes, *clients):
            actor.start()
        scenario = Scenario(Weather(), [], [], {fault: 3.0}, fault_phase_s=20.0, limits={})
        await Trouble(stage, scenario, host, nodes, clients).run()
        counts = trace.counts
        if fault is Fault.REFUSE:
            assert any("network refuses" in line for line in lines)
        elif fault is Fault.CRASH_CLIENT:
            assert counts["client crashes"] >= 1
        else:
            assert 2 <= counts[COUNTED[fault]] < 25
        others = {*COUNTED.values(), "glitches"} - {COUNTED.get(fault), "cuts"}
        assert not others & set(counts)
        # the trouble is over
        assert host.host is not None
        assert all(node.site is not None for node in nodes)
        sites = [host.site, *(actor.site for actor in [*nodes, *clients])]
        assert all(site.frozen_until <= loop.time() for site in sites)
        await asyncio.sleep(400)
        assert all(client.is_over for client in clients)
        for node in nodes:
            node.retire()
        await host.stop()
        await asyncio.sleep(100)
        assert problems == []

    play(main())


def test_shared_data_get_there_though_their_connection_breaks_all_the_time(play):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        problems: list[str] = []
        trace = Trace(loop.time, None)
        weather = Weather(bytes_per_s=200_000.0)
        network = Network(weather, Chance("network"), trace)
        stage = Stage(network, trace, Chance("test"), {}, problems.append)
        host = SimulatedHost(stage)
        node = SimulatedNode(stage, NodePlan("node0", 2, 1.0, ["luajit"], 0))
        orders = [Orders("job", 0, index, 0.5, shared=True) for index in range(3)]
        job = JobPlan("job", "luajit", [orders], 2_000_000, 0.0, 10, 0.0, 0.0, None, None, {})
        client = SimulatedClient(stage, ClientPlan("client0", [job], 0.0))
        for actor in (host, node, client):
            actor.start()
        scenario = Scenario(weather, [], [], {Fault.CUT_BULK: 3.0}, fault_phase_s=20.0, limits={})
        await Trouble(stage, scenario, host, [node], [client]).run()
        assert trace.counts["cuts"] > 1
        await asyncio.sleep(100)
        assert client.is_over
        assert trace.counts["results"] == 3
        node.retire()
        await host.stop()
        assert problems == []

    play(main())


def test_without_faults_the_phase_passes_quietly(play):
    async def main() -> float:
        loop = asyncio.get_running_loop()
        trace = Trace(loop.time, None)
        network = Network(Weather(), Chance("network"), trace)
        stage = Stage(network, trace, Chance("test"), {}, lambda _text: None)
        host = SimulatedHost(stage)
        host.start()
        scenario = Scenario(Weather(), [], [], {}, fault_phase_s=20.0, limits={})
        await Trouble(stage, scenario, host, [], []).run()
        await host.stop()
        return loop.time()

    assert play(main()) == pytest.approx(20.0)
