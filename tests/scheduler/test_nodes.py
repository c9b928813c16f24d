from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler.events import PeerGreeted
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    Goodbye,
    Hello,
    JobStarted,
    NodeLeaving,
    Refused,
    Role,
    TaskRef,
    Welcome,
    WorkerDown,
    WorkerUp,
)


def test_a_launcher_is_welcomed_by_its_own_name(cluster: Any) -> None:
    node = cluster.greet(name="lab", workers_announced=2)
    assert cluster.read(node) == [Welcome(PROTOCOL_VERSION, "1.2.3", "lab", 0)]
    assert cluster.notices == ["node lab joined, 2 workers announced"]


def test_a_node_whose_workers_are_confined_too_little_is_turned_away(cluster: Any) -> None:
    cluster.state.sandbox_level_min = 3
    good, poor = cluster.node(1, name="good"), cluster.greet(name="poor", workers_announced=2)
    cluster.read(poor)
    cluster.say(poor, WorkerUp(1, "poor-001", 0, 1, ["luajit"]))
    reason = (
        "poor reaches only sandbox level 1 of 3: resource limits; wanted is 3 of 3: resource"
        " limits, landlock, seccomp at this host"
    )
    assert cluster.read(poor) == [Goodbye(reason, "sandbox")]
    assert cluster.dropped == {poor: reason}
    cluster.say(poor, WorkerUp(2, "poor-002", 0, 1, ["luajit"]))
    assert list(cluster.state.nodes) == [good]


def test_default_names_are_numbered(cluster: Any) -> None:
    peers = [cluster.greet(name="lab") for _ in range(3)]
    assert [cluster.read(peer)[0].name for peer in peers] == ["lab", "lab-2", "lab-3"]
    cluster.lose(peers[1])
    assert cluster.read(cluster.greet(name="lab"))[0].name == "lab-2"


def test_an_explicit_name_that_is_taken_is_refused(cluster: Any) -> None:
    cluster.greet(name="lab")
    peer = cluster.greet(name="lab", name_is_explicit=True)
    reason = "the name 'lab' is taken by another node: choose another --name"
    assert cluster.read(peer) == [Refused("name_taken", reason)]
    assert cluster.dropped == {peer: reason}


def test_the_same_node_again_replaces_its_connection(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    old = cluster.node(2, node_id="abc", name="lab", name_is_explicit=True)
    cluster.submit(client, job, range(2))
    cluster.heard.clear()
    new = cluster.greet(node_id="abc", name="lab", name_is_explicit=True)
    assert cluster.read(new) == [Welcome(PROTOCOL_VERSION, "1.2.3", "lab", 1)]
    reason = "replaced by a newer connection of the same node"
    assert cluster.read(old) == [Goodbye(reason, "replaced")]
    assert cluster.dropped == {old: reason}
    statistics = cluster.scheduler.statistics()
    assert (statistics.workers, statistics.tasks_waiting, statistics.retries) == (0, 2, 2)


def test_a_channel_has_one_worker_at_a_time(cluster: Any) -> None:
    node = cluster.node(1)
    cluster.up(node, 1, epoch=1)
    assert cluster.dropped == {node: "channel 1 has a worker already"}


def test_a_worker_can_be_replaced(cluster: Any) -> None:
    node = cluster.node(1)
    cluster.down(node, 1)
    cluster.up(node, 1, epoch=1)
    assert cluster.scheduler.statistics().workers == 1
    assert cluster.scheduler.statistics().losses == 1
    cluster.down(node, 1, epoch=0)
    assert cluster.dropped == {node: "launcher1-001 is process 1, not 0, of its channel"}


def test_a_worker_that_never_came_up_is_not_waited_for(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.greet(workers_announced=2)
    cluster.up(node, 1)
    assert not cluster.read_only(client, JobStarted)
    cluster.say(node, WorkerDown(2, 0, "exit code 70"))
    assert cluster.read_only(client, JobStarted) == [JobStarted("job", 1)]
    assert "a worker did not start: exit code 70" in " ".join(cluster.notices)


def test_leaving_is_told_from_being_lost(cluster: Any) -> None:
    left, lost = cluster.node(1, name="a"), cluster.node(1, name="b")
    cluster.say(left, Goodbye("closing time"))
    cluster.lose(lost)
    assert cluster.notices[-2:] == [
        "node a left: closing time",
        "node b lost: connection reset",
    ]


def test_a_lost_peer_that_nobody_knows_is_no_matter(cluster: Any) -> None:
    assert cluster.lose(77).notices == []


def test_epochs_count_the_connections_of_a_node(cluster: Any) -> None:
    for epoch in range(3):
        hello = Hello(PROTOCOL_VERSION, Role.LAUNCHER, "1", "abc", "lab")
        peer = 50 + epoch
        cluster.step(PeerGreeted(peer, hello))
        assert cluster.read(peer) == [Welcome(PROTOCOL_VERSION, "1.2.3", "lab", epoch)]
        cluster.lose(peer)


def test_what_a_node_that_left_did_not_finish_is_no_loss(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    lab = cluster.node(2)
    cluster.submit(client, job, range(2))
    cluster.say(lab, NodeLeaving("draining", 30))
    cluster.down(lab, 1)
    cluster.say(lab, Goodbye("drained"))
    statistics = cluster.scheduler.statistics()
    assert (statistics.losses, statistics.retries, statistics.tasks_waiting) == (0, 0, 2)


def test_a_node_that_is_lost_while_it_leaves_is_lost(cluster: Any) -> None:
    lab = cluster.node(1)
    cluster.say(lab, NodeLeaving("draining", 30))
    cluster.lose(lab)
    assert cluster.notices[-1] == "node launcher1 lost: connection reset"
    assert cluster.scheduler.statistics().losses == 1


def test_announced_workers_of_a_node_that_leaves_are_not_awaited(cluster: Any) -> None:
    client, slow = cluster.client(), cluster.greet(workers_announced=3)
    cluster.open(client)
    cluster.node(1)
    assert cluster.read_only(client, JobStarted) == []
    cluster.say(slow, NodeLeaving("draining", 30))
    assert cluster.read_only(client, JobStarted) == [JobStarted("job", 1)]


def test_a_node_leaves_once_and_starts_nothing_then(cluster: Any) -> None:
    twice, starting = cluster.node(1), cluster.node(1)
    cluster.say(twice, NodeLeaving("draining", 30))
    cluster.say(twice, NodeLeaving("draining", 30))
    assert cluster.dropped[twice].endswith("is leaving already")
    cluster.say(starting, NodeLeaving("draining", 30))
    cluster.up(starting, 2)
    assert "a new worker on channel 2" in cluster.dropped[starting]


def test_a_suspect_is_not_given_to_a_node_that_leaves(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    first, leaving = cluster.node(1), cluster.node(1)
    cluster.say(leaving, NodeLeaving("draining", 30))
    cluster.submit(client, job, [0])
    cluster.down(first, 1, running=TaskRef(job, 0, 0))
    assert cluster.leased(leaving) == []
    cluster.up(first, 1, epoch=1)
    assert cluster.leased(first) == [TaskRef(job, 0, 0)]


def test_a_node_has_only_so_many_workers(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WORKERS_PER_NODE_MAX", 2)
    node = cluster.node(2)
    cluster.down(node, 2)
    cluster.up(node, 2, epoch=1)
    assert cluster.dropped == {}
    cluster.up(node, 3)
    assert cluster.dropped == {node: "more than 2 workers of one node"}
