from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.messages import TaskResults


def come_back(cluster: Any, client: int) -> list[TaskResults]:
    """What a client with the job's node id hears of results when it opens the job again."""
    node_id = cluster.state.clients[client].node_id
    cluster.lose(client)
    again = cluster.client(node_id=node_id)
    cluster.open(again)
    return cluster.read_only(again, TaskResults)


def test_results_are_said_again_in_batches_of_one_round_and_worker(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    cluster.open(client)
    cluster.submit(client, "job", range(4))
    cluster.submit(client, "job", [0], round_=1)
    for channel in (1, 2, 1, 2, 1):
        cluster.finish(node, channel, *cluster.leased(node, channel)[:1])
    heard = come_back(cluster, client)
    told = {
        (message.round, message.worker): [outcome.index for outcome in message.outcomes]
        for message in heard
    }
    assert sorted(index for indices in told.values() for index in indices) == [0, 0, 1, 2, 3]
    assert {worker for _, worker in told} == {"launcher2-001", "launcher2-002"}
    assert {round_ for round_, _ in told} == {0, 1}


def test_what_is_acknowledged_is_not_said_again(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.submit(client, "job", range(2))
    for _ in range(2):
        cluster.finish(node, 1, *cluster.leased(node)[:1])
    cluster.acknowledge(client, "job", 0)
    (message,) = come_back(cluster, client)
    assert [outcome.index for outcome in message.outcomes] == [1]


def test_frames_keep_the_limits_of_the_wire(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FRAME_BYTES_TARGET", 1_000)
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.submit(client, "job", range(limits.TASKS_PER_FRAME_MAX + 20))
    while refs := cluster.leased(node):
        for ref in refs:
            cluster.finish(
                node, 1, ref, duration_us=1, result=b"r" * 400 if ref.index < 20 else b""
            )
    sizes = [len(message.outcomes) for message in come_back(cluster, client)]
    assert sizes == [2] * 9 + [limits.TASKS_PER_FRAME_MAX, 2]
