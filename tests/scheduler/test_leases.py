from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler import leases
from midas_mp.wire.messages import CancelTasks, TaskRef


def busy(cluster: Any, task_count: int) -> tuple[int, Any, Any]:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.state.jobs[cluster.open(client)]
    cluster.learn(client, node, 1_000)
    cluster.submit(client, "job", range(task_count))
    cluster.heard.clear()
    return node, cluster.state.nodes[node].workers[1], job


def test_a_lease_that_is_taken_off_the_books_leaves_no_trace(cluster: Any) -> None:
    _, worker, job = busy(cluster, 3)
    for task in list(worker.leases[job]):
        leases.unlease(worker, job, task)
        assert task.worker is None
    assert (worker.leases, worker.lease_count, worker.lease_bytes) == ({}, 0, 0)
    assert job.leased_count == 0


def test_who_has_a_task_in_hand_can_have_the_lease_of_it(cluster: Any) -> None:
    client, job = cluster.client(), None
    cluster.open(client)
    cluster.submit(client, "job", range(3))
    job = cluster.state.jobs["job"]
    node = cluster.greet()
    cluster.up(node, 1, engines=("5.4",))
    worker = cluster.state.nodes[node].workers[1]
    for index in (1, 2, 0):
        leases.adopt(cluster.state, worker, job, job.rounds[0][index])
    assert cluster.leased(node) == [TaskRef("job", 0, index) for index in (1, 2, 0)]
    assert (job.waiting_count, job.leased_count, worker.lease_count) == (0, 3, 3)


@pytest.mark.parametrize("count", [1, limits.TASKS_PER_FRAME_MAX + 1])
def test_what_is_called_off_is_said_in_frames_that_fit(cluster: Any, count: int) -> None:
    node, worker, _ = busy(cluster, 1)
    refs = [TaskRef("other", 0, index) for index in range(count)]
    leases.call_off(cluster.state, worker, refs)
    assert worker.orphans == dict.fromkeys(refs, False)
    outbox = dict(cluster.scheduler.step([], cluster.now).outbox)
    said = [frame.message for frame in outbox[node]]
    assert all(isinstance(message, CancelTasks) for message in said)
    assert [i for message in said for i in message.indices] == list(range(count))
    assert len(said) == -(-count // limits.TASKS_PER_FRAME_MAX)


def test_letting_go_tells_whether_it_could_have_counted(cluster: Any) -> None:
    _, worker, _ = busy(cluster, 1)
    known = TaskRef("job", 0, 70)
    worker.orphans[known] = True
    assert leases.let_go(cluster.state, worker, known) is True
    assert leases.let_go(cluster.state, worker, known) is None


def test_one_of_several_who_are_at_a_task_may_go(cluster: Any) -> None:
    _, _, job = busy(cluster, 1)
    (task,) = job.rounds[0].values()
    nodes = [cluster.greet(workers_announced=1) for _ in range(2)]
    for peer in nodes:
        cluster.up(peer, 1, held=[TaskRef("job", 0, 0)])
    first, second = (cluster.state.nodes[peer].workers[1] for peer in nodes)
    assert list(job.copies[task]) == [first, second]
    cluster.lose(nodes[0])
    assert list(job.copies[task]) == [second]
    cluster.lose(nodes[1])
    assert job.copies == {}
