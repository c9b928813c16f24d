from __future__ import annotations

from typing import Any

import pytest

from midas_mp.wire.messages import RecallTasks, TaskRef


def recalls(cluster: Any, node: int) -> list[tuple[int, int]]:
    frames = cluster.heard.pop(node, [])
    return [(f.channel, f.message.count) for f in frames if isinstance(f.message, RecallTasks)]


def laden(cluster: Any, duration_us: int, task_count: int) -> tuple[int, int]:
    """One worker with everything, and a second one that has just come."""
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.learn(client, node, duration_us)
    cluster.submit(client, "job", range(task_count))
    assert len(cluster.leased(node)) == task_count
    cluster.heard.clear()
    cluster.up(node, 2)
    return client, node


def test_a_long_task_does_not_wait_behind_another_while_a_worker_is_idle(cluster: Any) -> None:
    _, node = laden(cluster, 5_000_000, 2)
    assert recalls(cluster, node) == [(1, 1)]
    cluster.give_back(node, 1, TaskRef("job", 0, 1))
    assert cluster.leased(node, 1) == [TaskRef("job", 0, 0)]
    assert cluster.leased(node, 2) == [TaskRef("job", 0, 1)]
    assert recalls(cluster, node) == []


def test_about_half_of_a_long_queue_is_recalled_once(cluster: Any) -> None:
    client, node = laden(cluster, 1_000, 40)
    assert recalls(cluster, node) == [(1, 19)]
    cluster.wait(0.001)
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert recalls(cluster, node) == []
    cluster.give_back(node, 1, *[TaskRef("job", 0, index) for index in range(21, 40)])
    assert len(cluster.leased(node, 2)) == 19
    assert cluster.scheduler.statistics().retries == 0
    assert client in cluster.state.clients


def test_work_that_is_done_sooner_than_moved_stays(cluster: Any) -> None:
    _, node = laden(cluster, 1_000, 9)
    assert recalls(cluster, node) == []


def test_nothing_to_give_back_is_not_asked_for_again_until_something_changes(
    cluster: Any,
) -> None:
    client, node = laden(cluster, 5_000_000, 2)
    assert recalls(cluster, node) == [(1, 1)]
    cluster.give_back(node, 1)
    cluster.wait(0.01)
    assert recalls(cluster, node) == []
    cluster.submit(client, "job", range(2, 5))
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert [ref.index for ref in cluster.leased(node, 1)] == [1, 4]
    cluster.finish(node, 2, *cluster.leased(node, 2))
    assert recalls(cluster, node) == [(1, 1)]


def test_two_idle_workers_do_not_ask_one_worker_twice(cluster: Any) -> None:
    _, node = laden(cluster, 1_000, 40)
    cluster.up(node, 3)
    assert recalls(cluster, node) == [(1, 19)]


def test_the_most_laden_worker_is_asked(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    cluster.open(client)
    cluster.learn(client, node, 1_000)
    cluster.submit(client, "job", range(60))
    for ref in cluster.leased(node, 1)[:10]:
        cluster.finish(node, 1, ref)
    cluster.heard.clear()
    cluster.up(node, 3)
    assert recalls(cluster, node) == [(2, 14)]


def test_a_worker_is_not_asked_for_what_the_idle_one_cannot_run(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.learn(client, node, 5_000_000)
    cluster.submit(client, "job", range(2))
    cluster.heard.clear()
    cluster.up(node, 2, engines=("5.4",))
    assert recalls(cluster, node) == []


def test_while_tasks_wait_nothing_is_recalled(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.learn(client, node, 5_000_000)
    cluster.submit(client, "job", range(3))
    cluster.heard.clear()
    cluster.state.jobs["job"].size_bytes += 2**30
    job = cluster.state.jobs["job"]
    task = job.rounds[0][0]
    task.size_bytes += 2**30
    cluster.state.nodes[node].workers[1].lease_bytes += 2**30
    cluster.up(node, 2)
    assert recalls(cluster, node) == []


def test_a_worker_that_is_silent_for_too_long_runs_something_long(cluster: Any) -> None:
    _, node = laden(cluster, 1_000, 4)
    assert recalls(cluster, node) == []
    assert cluster.ready.wake_at == pytest.approx(cluster.now + 0.009)
    cluster.now = cluster.ready.wake_at
    cluster.step()
    assert recalls(cluster, node) == [(1, 1)]
    cluster.give_back(node, 1, TaskRef("job", 0, 3))
    assert cluster.leased(node, 2) == [TaskRef("job", 0, 3)]
    cluster.finish(node, 2, TaskRef("job", 0, 3))
    cluster.wait(0.050)
    assert recalls(cluster, node) == [(1, 1)]
    assert cluster.ready.wake_at is None
