"""Bounds by the median; the rules themselves are in ``transcripts/time_limits.txt``."""

from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.wire.messages import JobSpec, LimitTasks, OpenJob, PutBundle, Status, TaskRef

DIGEST = "d" * 64


def open_bounded(cluster: Any, client: int, factor: float = 5) -> None:
    cluster.say(client, OpenJob("job", "", JobSpec(timeout_factor=factor)))
    cluster.say(client, PutBundle("job", DIGEST, "main.lua", []), [b"-- lua"])


def test_a_job_without_a_factor_has_no_bound(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    cluster.open(client)
    cluster.submit(client, "job", range(6))
    for index in range(6):
        cluster.finish(node, 1, TaskRef("job", 0, index))
    assert cluster.state.jobs["job"].times is None
    assert cluster.read_only(node, LimitTasks) == []


def test_quick_tasks_are_not_bounded_by_less_than_a_busy_machine_needs(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    open_bounded(cluster, client)
    cluster.submit(client, "job", range(20))
    for index in range(20):
        cluster.finish(node, 1, TaskRef("job", 0, index), duration_us=100)
    assert cluster.read_only(node, LimitTasks) == [
        LimitTasks("job", 0, limits.MEDIAN_TIMEOUT_S_MIN)
    ]


def test_what_failed_says_nothing_about_the_others(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    open_bounded(cluster, client)
    cluster.submit(client, "job", range(20))
    for index in range(20):
        cluster.finish(node, 1, TaskRef("job", 0, index), status=Status.FAILED)
    assert cluster.read_only(node, LimitTasks) == []


def test_a_bound_is_one_that_a_message_may_say(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    open_bounded(cluster, client, factor=1e9)
    cluster.submit(client, "job", range(6))
    for index in range(6):
        cluster.finish(node, 1, TaskRef("job", 0, index), duration_us=10**9)
    assert cluster.read_only(node, LimitTasks) == [LimitTasks("job", 0, limits.DURATION_S_MAX)]


def test_a_node_that_does_not_know_the_job_is_told_nothing(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    open_bounded(cluster, client)
    stranger = cluster.greet(workers_announced=1)
    cluster.up(stranger, engines=("lua5.4",))
    cluster.submit(client, "job", range(20))
    for index in range(20):
        cluster.finish(node, 1, TaskRef("job", 0, index), duration_us=100)
    assert len(cluster.read_only(node, LimitTasks)) == 1
    assert cluster.read_only(stranger, LimitTasks) == []
