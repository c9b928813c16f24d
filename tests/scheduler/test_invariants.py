"""Each kind of damage is seen: a check that accepts everything would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midas_mp.scheduler import invariants
from midas_mp.scheduler.records import Blame
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import JobState, NodeState, TaskState, WorkerState

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
