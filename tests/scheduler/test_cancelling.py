"""Cancelled tasks leave nothing behind; the rules themselves are in ``transcripts``."""

from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.messages import (
    CancelTasks,
    EndJob,
    RunTasks,
    TaskRef,
    TaskResults,
    TasksCancelled,
    TasksReturned,
)


def cancel(cluster: Any, client: int, *indices: int, round_: int = 0, job: str = "job") -> None:
    cluster.say(client, CancelTasks(job, round_, list(indices)))


def test_nothing_is_left_of_tasks_in_any_state(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    job = cluster.state.jobs[cluster.open(client)]
    cluster.submit(client, job.id, range(4))
    cluster.finish(node, 1, TaskRef(job.id, 0, 0))
    cluster.down(node, 1, 0, running=TaskRef(job.id, 0, 1))
    cluster.up(node, 1, epoch=1)
    cancel(cluster, client, 0, 1, 2, 3)
    assert (job.task_count, job.done_count, job.leased_count, job.waiting_count) == (0, 0, 0, 0)
    assert (job.size_bytes, job.rounds, job.blames) == (0, {}, {})
    assert cluster.read_only(client, TasksCancelled) == [TasksCancelled(job.id, 0, [0, 1, 2, 3])]


def test_the_credit_is_free_at_once(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CREDIT_TASKS", 2)
    monkeypatch.setattr(limits, "CREDIT_TASKS_PER_WORKER", 0)
    client, node = cluster.client(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", range(2))
    cancel(cluster, client, 0, 1)
    cluster.submit(client, "job", [2, 3])
    assert cluster.dropped == {}
    cluster.say(node, TasksReturned([TaskRef("job", 0, 0)]), channel=1)
    assert cluster.leased(node) == [TaskRef("job", 0, 2)]


def test_a_late_result_of_a_cancelled_task_counts_for_nothing(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    cancel(cluster, client, 0)
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    assert cluster.read_only(client, TaskResults) == []
    assert cluster.scheduler.statistics().duplicates == 1
    assert cluster.state.strays == {}


def test_the_same_index_of_another_round_or_job_goes_on(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    cluster.open(client, "a")
    cluster.open(client, "b")
    cluster.submit(client, "a", [0])
    cluster.submit(client, "a", [0], round_=1)
    cluster.submit(client, "b", [0])
    cancel(cluster, client, 0, job="a")
    cluster.give_back(node, 1, TaskRef("a", 0, 0))
    assert cluster.leased(node) == [TaskRef("a", 1, 0)]
    cluster.finish(node, 1, TaskRef("a", 1, 0))
    assert cluster.leased(node) == [TaskRef("b", 0, 0)]


def test_nobody_cancels_the_tasks_of_somebody_else(cluster: Any) -> None:
    client, other, node = cluster.client(), cluster.client(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    cancel(cluster, other, 0)
    assert cluster.leased(node) == [TaskRef("job", 0, 0)]
    assert cluster.read_only(other, TasksCancelled) == []


def test_a_node_is_asked_in_frames_of_a_good_size(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TASKS_PER_FRAME_MAX", 2)
    client, node = cluster.client(), cluster.node()
    cluster.open(client)
    cluster.learn(client, node, duration_us=100)
    cluster.submit(client, "job", range(5))
    assert len(cluster.leased(node)) == 5
    cancel(cluster, client, *range(5))
    asked = cluster.read_only(node, CancelTasks)
    assert [each.indices for each in asked] == [[0, 1], [2, 3], [4]]


def test_every_holder_is_asked_with_a_lease_or_without(cluster: Any) -> None:
    """Its first holder came back with the task when another had the lease already."""
    client = cluster.client()
    first, second = cluster.node(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    cluster.lose(first)
    assert cluster.leased(second) == [TaskRef("job", 0, 0)]
    again = cluster.greet(node_id=f"{first:x}", name="launcher")
    cluster.up(again, held=[TaskRef("job", 0, 0)])
    cluster.heard.clear()
    cancel(cluster, client, 0)
    for node in (again, second):
        assert cluster.read_only(node, CancelTasks) == [CancelTasks("job", 0, [0])]
    cluster.submit(client, "job", [1])
    cluster.give_back(second, 1, TaskRef("job", 0, 0))
    assert cluster.leased(second) == [TaskRef("job", 0, 1)]


def test_a_task_that_is_done_is_called_off_where_it_still_runs(cluster: Any) -> None:
    client = cluster.client()
    first, second = cluster.node(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    cluster.lose(first)
    cluster.finish(second, 1, TaskRef("job", 0, 0))
    again = cluster.greet(node_id=f"{first:x}", name="launcher")
    cluster.up(again, held=[TaskRef("job", 0, 0)])
    assert CancelTasks("job", 0, [0]) in cluster.read(again)


def test_a_job_may_end_while_a_cancelled_task_is_still_held(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", [0])
    cancel(cluster, client, 0)
    cluster.say(client, EndJob("job"))
    cluster.open(client, "next")
    cluster.submit(client, "next", [0])
    assert cluster.read_only(node, RunTasks)[1:] == []
    cluster.down(node)
    cluster.up(node, epoch=1)
    assert cluster.leased(node) == [TaskRef("next", 0, 0)]
