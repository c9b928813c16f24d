from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.messages import (
    CancelTasks,
    EndJob,
    JobStatus,
    OfferShared,
    Role,
    SharedHeld,
    SharedPart,
)

NOTICE_S = limits.NOTICE_INTERVAL_S
TOTAL = 22


def notices(cluster: Any, client: int) -> list[str]:
    return [status.notice for status in cluster.read_only(client, JobStatus) if status.notice]


@pytest.fixture
def client(cluster: Any) -> int:
    """With an open job, and one node in the cluster."""
    cluster.node(1)
    peer: int = cluster.client()
    cluster.open(peer)
    return peer


def send(cluster: Any, client: int, size: int, offset: int = 0) -> None:
    """Some of the shared data, on a bulk connection."""
    node_id = cluster.state.clients[client].node_id
    peer = cluster.greet(Role.BULK, node_id=node_id)
    cluster.say(peer, SharedPart("job", 0, offset), [b"x" * size])


# -- shared data -----------------------------------------------------------------------------


def test_data_that_no_node_fetches_is_named_every_few_seconds(cluster: Any, client: int) -> None:
    cluster.node(1)
    useless = cluster.greet(workers_announced=1)
    cluster.up(useless, engines=("lua5.4",))
    cluster.say(client, OfferShared("job", 0, [TOTAL]))
    send(cluster, client, TOTAL)
    cluster.wait(60.0)
    assert notices(cluster, client) == [], "nothing waits for it"
    cluster.submit(client, "job", [0])
    cluster.wait(NOTICE_S - 0.1)
    assert notices(cluster, client) == []
    cluster.wait(0.1)
    for _ in range(2):
        assert notices(cluster, client) == ["waiting for shared data: 0 of 2 nodes have it"]
        cluster.wait(NOTICE_S)


def test_data_that_moves_is_waited_for_in_silence(cluster: Any, client: int) -> None:
    (node,) = cluster.state.nodes
    cluster.say(client, OfferShared("job", 0, [TOTAL]))
    cluster.submit(client, "job", [0])
    for offset in range(TOTAL):
        cluster.wait(NOTICE_S - 0.1)
        send(cluster, client, 1, offset)
    for received_bytes in range(1, TOTAL):
        cluster.wait(NOTICE_S - 0.1)
        cluster.say(node, SharedHeld("job", 0, "lab", received_bytes))
    assert notices(cluster, client) == []
    cluster.wait(NOTICE_S)
    assert notices(cluster, client) == ["waiting for shared data: 0 of 1 node has it"]
    cluster.say(node, SharedHeld("job", 0, "lab", TOTAL))
    cluster.wait(60.0)
    assert notices(cluster, client) == []
    assert cluster.leased(node)


def test_data_that_does_not_come_from_the_client_is_named(cluster: Any, client: int) -> None:
    cluster.say(client, OfferShared("job", 0, [TOTAL]))
    cluster.submit(client, "job", [0])
    send(cluster, client, 5)
    cluster.wait(NOTICE_S)
    assert notices(cluster, client) == [
        "waiting for shared data: 5 of 22 bytes have come from the client"
    ]


# -- workers that are not free ---------------------------------------------------------------


def test_workers_that_do_not_let_go_are_counted(cluster: Any, client: int) -> None:
    (node,) = cluster.state.nodes
    cluster.up(node, 2)
    cluster.submit(client, "job", [0, 1])
    held = [cluster.leased(node, channel) for channel in (1, 2)]
    cluster.say(client, EndJob("job"))
    cluster.open(client, "other")
    cluster.wait(60.0)
    assert notices(cluster, client) == [], "it has nothing to do"
    cluster.submit(client, "other", [0])
    cluster.wait(NOTICE_S)
    free = "waiting for a free worker: "
    assert notices(cluster, client) == [
        free + "2 workers are still at tasks that nobody waits for any more"
    ]
    cluster.down(node, 2)
    cluster.wait(NOTICE_S)
    assert notices(cluster, client) == [
        free + "1 worker is still at tasks that nobody waits for any more"
    ]
    cluster.give_back(node, 1, *held[0])
    cluster.wait(60.0)
    assert notices(cluster, client) == []
    assert cluster.leased(node, 1)


def test_workers_at_work_for_a_job_that_came_first_are_no_stall(cluster: Any, client: int) -> None:
    cluster.submit(client, "job", [0])
    cluster.open(client, "other")
    cluster.submit(client, "other", [0])
    cluster.wait(60.0)
    assert notices(cluster, client) == []


def test_workers_that_cannot_run_it_are_not_waited_for(cluster: Any, client: int) -> None:
    useless = cluster.greet(workers_announced=1)
    cluster.up(useless, engines=("lua5.4",))
    cluster.submit(client, "job", [0])
    cluster.say(client, CancelTasks("job", 0, [0]))
    cluster.submit(client, "job", [1])
    cluster.heard.clear()
    cluster.wait(NOTICE_S)
    assert notices(cluster, client) == [
        "waiting for a free worker: 1 worker is still at tasks that nobody waits for any more"
    ]
