from __future__ import annotations

from typing import Any

import pytest

from midas_mp.wire.messages import (
    JobSpec,
    OpenJob,
    PutBundle,
    RunTasks,
    Status,
    TaskRef,
    TaskResults,
)

TASK = TaskRef("job", 0, 0)


def open_with(cluster: Any, retries: int) -> int:
    client: int = cluster.client()
    cluster.say(client, OpenJob("job", "", JobSpec(retries=retries)))
    cluster.say(client, PutBundle("job", "d" * 64, "main.lua", []), [b"-- lua"])
    return client


def fail(cluster: Any, node: int, channel: int = 1) -> None:
    cluster.finish(node, channel, TASK, status=Status.FAILED)


def statuses(cluster: Any, client: int) -> list[Status]:
    messages = cluster.read_only(client, TaskResults)
    return [outcome.status for message in messages for outcome in message.outcomes]


def holder(cluster: Any) -> int:
    (node,) = [peer for peer in cluster.state.nodes if cluster.leased(peer)]
    return int(node)


def attempts(cluster: Any, node: int) -> list[int]:
    return [c.attempt for message in cluster.read_only(node, RunTasks) for c in message.calls]


def test_a_failure_is_final_unless_the_job_says_otherwise(cluster: Any) -> None:
    client, node = open_with(cluster, 0), cluster.node(1)
    cluster.submit(client, "job", [0])
    fail(cluster, node)
    assert statuses(cluster, client) == [Status.FAILED]


def test_a_task_is_tried_again_elsewhere_as_often_as_the_job_says(cluster: Any) -> None:
    client = open_with(cluster, 2)
    cluster.node(1)
    cluster.node(1)
    cluster.submit(client, "job", [0])
    seen = []
    for _ in range(3):
        assert statuses(cluster, client) == []
        node = holder(cluster)
        seen.append((node, attempts(cluster, node)))
        fail(cluster, node)
    assert statuses(cluster, client) == [Status.FAILED]
    assert [tried for _, tried in seen] == [[0], [1], [2]]
    assert seen[0][0] != seen[1][0] != seen[2][0]
    assert cluster.scheduler.statistics().retries == 2
    assert cluster.state.jobs["job"].blames == {}


def test_where_there_is_one_worker_it_tries_again(cluster: Any) -> None:
    client, node = open_with(cluster, 1), cluster.node(1)
    cluster.submit(client, "job", [0])
    fail(cluster, node)
    assert cluster.leased(node) == [TASK]
    cluster.finish(node, 1, TASK)
    assert statuses(cluster, client) == [Status.OK]


def test_deaths_and_failures_are_counted_apart(cluster: Any) -> None:
    client, node = open_with(cluster, 1), cluster.node(1)
    cluster.submit(client, "job", [0])
    cluster.down(node, 1, running=TASK)
    cluster.up(node, 1, epoch=1)
    fail(cluster, node)
    cluster.down(node, 1, epoch=1, running=TASK)
    cluster.up(node, 1, epoch=2)
    assert statuses(cluster, client) == []
    fail(cluster, node)
    assert statuses(cluster, client) == [Status.FAILED]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_late_failure_of_a_lost_lease_counts_only_if_none_may_follow(
    cluster: Any, retries: int
) -> None:
    client, node = open_with(cluster, retries), cluster.node(1)
    cluster.submit(client, "job", [0])
    cluster.down(node, 1)
    fail(cluster, node)
    assert statuses(cluster, client) == ([] if retries else [Status.FAILED])
    cluster.up(node, 1, epoch=1)
    assert cluster.leased(node) == ([TASK] if retries else [])


def test_a_copy_that_fails_does_not_count_and_is_not_made_again(cluster: Any) -> None:
    client = open_with(cluster, 1)
    slow, quick = cluster.node(1), cluster.node(1)
    cluster.submit(client, "job", [90, 91], round_=9)
    for node, seconds in ((slow, 10), (quick, 1)):
        cluster.finish(node, 1, *cluster.leased(node), duration_us=seconds * 1_000_000)
    cluster.submit(client, "job", [0, 1])
    cluster.finish(quick, 1, TaskRef("job", 0, 1), duration_us=1_000_000)
    cluster.wait(0.1)
    assert cluster.scheduler.statistics().copies == 1
    cluster.heard.clear()
    fail(cluster, quick)
    cluster.wait(60)
    assert statuses(cluster, client) == []
    assert cluster.scheduler.statistics().copies == 1
    cluster.finish(slow, 1, TASK)
    assert statuses(cluster, client) == [Status.OK]


def test_a_lease_that_fails_leaves_it_to_the_copy(cluster: Any) -> None:
    client = open_with(cluster, 1)
    slow, quick = cluster.node(1), cluster.node(1)
    cluster.submit(client, "job", [90, 91], round_=9)
    for node, seconds in ((slow, 10), (quick, 1)):
        cluster.finish(node, 1, *cluster.leased(node), duration_us=seconds * 1_000_000)
    cluster.submit(client, "job", [0, 1])
    cluster.finish(quick, 1, TaskRef("job", 0, 1), duration_us=1_000_000)
    cluster.wait(0.1)
    cluster.heard.clear()
    fail(cluster, slow)
    assert cluster.leased(quick) == [TASK]
    fail(cluster, quick)
    assert statuses(cluster, client) == [Status.FAILED]


def test_a_failure_that_came_before_its_job_is_tried_again_too(cluster: Any) -> None:
    """The host was started anew: how often it was tried before, nobody knows."""
    node = cluster.node(1)
    fail(cluster, node)
    client = open_with(cluster, 1)
    cluster.submit(client, "job", [0])
    assert statuses(cluster, client) == []
    fail(cluster, node)
    fail(cluster, node)
    assert statuses(cluster, client) == [Status.FAILED]
    assert cluster.state.early_bytes == 0
