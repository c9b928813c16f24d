from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.scheduler.state import State
from midas_mp.wire.messages import EndJob, Goodbye, TaskRef


def test_take_ready_empties_what_was_said() -> None:
    state = State("1", 60.0)
    state.send(1, Goodbye("a"))
    state.send(2, Goodbye("b"))
    state.send(1, Goodbye("c"))
    state.drop(2, "first reason")
    state.drop(2, "second reason")
    state.notice("hello")
    ready = state.take_ready(5.0)
    assert [(peer, len(frames)) for peer, frames in ready.outbox] == [(1, 2), (2, 1)]
    assert ready.drops == [(2, "first reason")]
    assert (ready.notices, ready.wake_at) == (["hello"], 5.0)
    empty = state.take_ready(None)
    assert (empty.outbox, empty.drops, empty.notices, empty.wake_at) == ([], [], [], None)


def test_credit_is_remembered_at_its_highest(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    job = cluster.state.jobs[cluster.open(client)]
    highest = limits.CREDIT_TASKS + 2 * limits.CREDIT_TASKS_PER_WORKER
    assert cluster.state.credit_tasks(job) == highest
    cluster.lose(node)
    assert cluster.state.credit_tasks(job) == limits.CREDIT_TASKS
    assert job.credit_max == highest


def test_a_worker_is_in_the_set_of_its_state(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    state = cluster.state
    worker = state.nodes[node].workers[1]
    assert list(state.idle) == [worker]
    job = cluster.open(client)
    cluster.learn(client, node, 1_000)
    cluster.submit(client, job, range(2))
    assert worker.state.value == "busy"
    assert (list(state.idle), list(state.hungry), list(state.laden)) == ([], [worker], [worker])
    cluster.finish(node, 1, TaskRef(job, 0, 0))
    assert list(state.laden) == []
    cluster.say(client, EndJob(job))
    assert worker.state.value == "releasing"
    assert (list(state.idle), list(state.hungry)) == ([], [])
    cluster.give_back(node, 1, TaskRef(job, 0, 1))
    assert worker.state.value == "idle"


def test_a_worker_with_leases_of_a_living_job_is_busy_when_it_has_let_go(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    for job in ("a", "b"):
        cluster.open(client, job)
        cluster.learn(client, node, 100, job)
    cluster.submit(client, "a", [0])
    cluster.submit(client, "b", [0])
    worker = cluster.state.nodes[node].workers[1]
    cluster.say(client, EndJob("a"))
    assert worker.state.value == "releasing"
    cluster.give_back(node, 1, TaskRef("a", 0, 0))
    assert worker.state.value == "busy"
    assert cluster.leased(node) == [TaskRef("b", 0, 0)]
