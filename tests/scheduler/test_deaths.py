from __future__ import annotations

from typing import Any

from midas_mp import limits
from midas_mp.wire.messages import JobStatus


def told(cluster: Any, client: int) -> list[str]:
    """What is new."""
    sentences = [m.notice for m in cluster.read_only(client, JobStatus) if m.notice]
    noticed = [notice for notice in cluster.notices if " died " in notice]
    assert noticed == [f"job job: {sentence}" for sentence in sentences]
    cluster.notices.clear()
    return sentences


def busy(cluster: Any, workers: int) -> tuple[int, int]:
    """A client, and a node whose workers are at a task each."""
    client, node = cluster.client(), cluster.node(workers)
    cluster.open(client)
    cluster.learn(client, node, 10_000_000)
    cluster.submit(client, "job", range(workers))
    cluster.heard.clear()
    return client, node


def die(cluster: Any, node: int, channel: int) -> None:
    (task,) = cluster.leased(node, channel)
    cluster.down(node, channel, running=task)


def test_a_client_hears_of_a_worker_that_died_at_a_task(cluster: Any) -> None:
    client, node = busy(cluster, 2)
    (task,) = cluster.leased(node, 1)
    die(cluster, node, 1)
    assert told(cluster, client) == [
        f"worker launcher{node}-001 died (killed by SIGKILL) at task {task.index}, which runs again"
    ]


def test_of_many_it_hears_the_first_and_how_many_more(cluster: Any) -> None:
    client, node = busy(cluster, 5)
    for channel in (1, 2, 3):
        die(cluster, node, channel)
    assert len(told(cluster, client)) == 1
    cluster.wait(limits.NOTICE_INTERVAL_S)
    die(cluster, node, 4)
    (sentence,) = told(cluster, client)
    assert sentence.endswith("which runs again; 2 more such losses since the last notice")
    cluster.wait(limits.NOTICE_INTERVAL_S)
    die(cluster, node, 5)
    (sentence,) = told(cluster, client)
    assert sentence.endswith("which runs again")


def test_of_a_node_that_is_lost_hears_who_had_something_there(cluster: Any) -> None:
    client, node = busy(cluster, 2)
    other = cluster.client()
    cluster.open(other, "other")
    cluster.lose(node)
    heard = [m.notice for m in cluster.read_only(client, JobStatus) if m.notice]
    assert heard == [
        f"node launcher{node} was lost (connection reset); others take over what it was at"
    ]
    assert [m.notice for m in cluster.read_only(other, JobStatus) if m.notice] == []
    assert f"node launcher{node} lost: connection reset" in cluster.notices


def test_a_worker_that_was_killed_on_purpose_is_no_news(cluster: Any) -> None:
    client, node = busy(cluster, 2)
    cluster.down(node, 1)
    assert told(cluster, client) == []
