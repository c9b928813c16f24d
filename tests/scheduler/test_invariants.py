"""Each kind of damage is seen: a check that accepts everything would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midas_mp.scheduler import invariants
from midas_mp.scheduler.blame import Blame
from midas_mp.scheduler.records import BulkRecord, Node
from midas_mp.scheduler.shared_round import SharedRound
from midas_mp.scheduler.state import State
from midas_mp.scheduler.strays import StrayJob
from midas_mp.scheduler.tables import JobState, NodeState, TaskState, WorkerState
from midas_mp.wire.messages import PROTOCOL_VERSION, Hello, OfferShared, Role, SharedHeld, TaskRef

NODE, CHANNEL = 2, 1


def _job(state: State) -> Any:
    return state.jobs["job"]


def _worker(state: State) -> Any:
    return state.nodes[NODE].workers[CHANNEL]


def _task(state: State, index: int = 0) -> Any:
    return _job(state).rounds[0][index]


DAMAGES: dict[str, Callable[[State], object]] = {
    "job under another id": lambda s: s.jobs.update(other=_job(s)),
    "ended job": lambda s: setattr(_job(s), "state", JobState.ENDED),
    "job of no client": lambda s: s.clients.clear(),
    "client without its job": lambda s: _job(s).client.jobs.clear(),
    "queued and started": lambda s: setattr(_job(s), "state", JobState.QUEUED),
    "task in two queues": lambda s: _job(s).returned.update({_job(s).fresh[0]: None}),
    "task in no queue": lambda s: _job(s).fresh.clear(),
    "foreign task in a queue": lambda s: _job(s).rounds[0].pop(2),
    "task under another index": lambda s: setattr(_task(s, 2), "index", 77),
    "leased to nobody": lambda s: setattr(_task(s), "worker", None),
    "worker forgot its lease": lambda s: _worker(s).leases.clear(),
    "lease on a lost node": lambda s: s.nodes.clear(),
    "lease on a lost worker": lambda s: s.nodes[NODE].workers.clear(),
    "unsuitable worker": lambda s: setattr(_worker(s), "engines", frozenset({"5.4"})),
    "bundle of an open task dropped": lambda s: _job(s).bundles.frames.clear(),
    "bytes of bundles": lambda s: setattr(_job(s).bundles, "size_bytes", 1),
    "bundle unknown to the node": lambda s: s.nodes[NODE].begun.clear(),
    "node knows an ended job": lambda s: s.nodes[NODE].begun.update(old=set()),
    "lost node": lambda s: setattr(s.nodes[NODE], "state", NodeState.LOST),
    "suspect without blame": lambda s: _job(s).suspects.update({_job(s).fresh.pop(): None}),
    "blame of a forgotten task": lambda s: _job(s).blames.update({object(): Blame()}),
    "wrong number of tasks": lambda s: setattr(_job(s), "task_count", 99),
    "wrong number of leases": lambda s: setattr(_job(s), "leased_count", 99),
    "wrong number of results": lambda s: setattr(_job(s), "done_count", 99),
    "wrong bytes": lambda s: setattr(_job(s), "size_bytes", 99),
    "over credit": lambda s: setattr(_job(s), "credit_max", 1),
    "worker with wrong count": lambda s: setattr(_worker(s), "lease_count", 7),
    "worker with wrong bytes": lambda s: setattr(_worker(s), "lease_bytes", 1),
    "idle with leases": lambda s: setattr(_worker(s), "state", WorkerState.IDLE),
    "busy worker among the idle": lambda s: s.idle.update({_worker(s): None}),
    "wrong number of workers": lambda s: setattr(s, "worker_count", 9),
    "wrong engines": lambda s: s.engine_counts.clear(),
    "engines without a time": lambda s: s.engine_since.clear(),
    "wrong awaited": lambda s: setattr(s, "awaited", 5),
    "two nodes of one name": lambda s: s.nodes.update({9: s.nodes[NODE]}),
    "client that is connected and away": lambda s: s.away.update(x=_job(s).client),
    "client under another peer": lambda s: setattr(_job(s).client, "peer", 77),
    "job open on a connection that is gone": lambda s: setattr(_job(s), "peer", 77),
    "job that nobody has open and nobody waits for": lambda s: setattr(_job(s), "peer", None),
    "open job that has ended": lambda s: s.ended.update({"job": None}),
    "open task with a result": lambda s: setattr(_task(s), "outcome", "done"),
    "adopted task without a lease": lambda s: _worker(s).adopted.update({_task(s, 2): None}),
    "orphans of a busy worker": lambda s: _worker(s).orphans.update({TaskRef("x", 0, 0): True}),
    "stray that is kept for ever": lambda s: s.strays.update(x=StrayJob("x", s.backlogs)),
    "early bytes of nothing": lambda s: setattr(s, "early_bytes", 5),
    "lease without the shared data": lambda s: setattr(_job(s), "shared", SharedRound(0, [5], 0.0)),
    "started job unknown": lambda s: s.started.update(ghost=_job(s)),
    "done task with a lease": lambda s: setattr(_task(s), "state", TaskState.DONE),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_seen(cluster: Any, damage: Callable[[State], object]) -> None:
    client, _ = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), range(3))
    invariants.check(cluster.state)
    damage(cluster.state)
    with pytest.raises(AssertionError):
        invariants.check(cluster.state)


def test_an_idle_worker_beside_waiting_tasks_is_seen(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    job = cluster.state.jobs[cluster.open(client)]
    cluster.submit(client, "job", [0])
    task = job.rounds[0][0]
    worker = task.worker
    del worker.leases[job]
    worker.lease_count = worker.lease_bytes = job.leased_count = 0
    task.worker, task.state, worker.state = None, TaskState.WAITING, WorkerState.IDLE
    job.fresh.append(task)
    cluster.state.withdraw(worker)
    cluster.state.idle[worker] = None
    with pytest.raises(AssertionError, match="tasks wait while"):
        invariants.check(cluster.state)
    assert node in cluster.state.nodes


def test_a_worker_that_should_be_alone_is_seen(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.learn(client, node, 100)
    cluster.submit(client, "job", range(2))
    job = cluster.state.jobs["job"]
    job.blames[job.rounds[0][0]] = Blame()
    with pytest.raises(AssertionError, match="blamed and not alone"):
        invariants.check(cluster.state)


STRAY_DAMAGES: dict[str, Callable[[Any], object]] = {
    "of an ended job": lambda s: s.ended.update(old=None),
    "under another id": lambda s: setattr(s.strays["old"], "id", "other"),
    "of a lost node": lambda s: s.nodes.clear(),
    "not an orphan of its holder": lambda s: _worker(s).orphans.pop(TaskRef("old", 0, 1)),
    "worthless to its holder": lambda s: _worker(s).orphans.update({TaskRef("old", 0, 1): False}),
    "with other bytes": lambda s: s.strays["old"].early.clear(),
}


@pytest.mark.parametrize("damage", STRAY_DAMAGES.values(), ids=STRAY_DAMAGES.keys())
def test_damage_to_strays_is_seen(cluster: Any, damage: Callable[[State], object]) -> None:
    cluster.client()
    node = cluster.greet(workers_announced=1)
    cluster.up(node, 1, held=[TaskRef("old", 0, 1)])
    cluster.finish(node, 1, TaskRef("old", 0, 0))
    damage(cluster.state)
    with pytest.raises(AssertionError):
        invariants.check(cluster.state)


BULK_DAMAGES: dict[str, Callable[[State], object]] = {
    "second of one node": lambda s: s.bulks.update({8: BulkRecord(8, "a1")}),
    "of nobody": lambda s: s.bulks.update({8: BulkRecord(8, "b2")}),
}


@pytest.mark.parametrize("damage", BULK_DAMAGES.values(), ids=BULK_DAMAGES.keys())
def test_damage_to_bulk_connections_is_seen(
    cluster: Any, damage: Callable[[State], object]
) -> None:
    cluster.client(node_id="a1")
    cluster.greet(Role.BULK, node_id="a1")
    damage(cluster.state)
    with pytest.raises(AssertionError, match="bulk connection"):
        invariants.check(cluster.state)


LOST = Node(9, Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "9", "lost"), "lost", 0)

SHARED_DAMAGES: dict[str, Callable[[Any], object]] = {
    "wrong sum": lambda shared: setattr(shared, "total_bytes", 9),
    "wrong count": lambda shared: setattr(shared, "received_bytes", 9),
    "lost holder": lambda shared: shared.holders.update({LOST: None}),
    "node that was not told": lambda shared: shared.offered.clear(),
}


@pytest.mark.parametrize("damage", SHARED_DAMAGES.values(), ids=SHARED_DAMAGES.keys())
def test_damage_to_shared_data_is_seen(cluster: Any, damage: Callable[[Any], object]) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.say(client, OfferShared("job", 0, [0]))
    cluster.say(node, SharedHeld("job", 0, "", 0))
    cluster.submit(client, "job", [0])
    assert cluster.leased(node)
    damage(cluster.state.jobs["job"].shared)
    with pytest.raises(AssertionError):
        invariants.check(cluster.state)
