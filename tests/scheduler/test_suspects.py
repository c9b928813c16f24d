from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler.events import Received
from midas_mp.scheduler.suspects import PATIENCE_S
from midas_mp.scheduler.tables import WorkerState
from midas_mp.wire.framing import Frame
from midas_mp.wire.messages import TaskRef, WorkerUp

POISON = TaskRef("job", 0, 0)


def where(cluster: Any, ref: TaskRef = POISON) -> tuple[int, int] | None:
    for peer, node in cluster.state.nodes.items():
        for channel in node.workers:
            if ref in cluster.leased(peer, channel):
                return peer, channel
    return None


def test_a_suspect_goes_to_another_node(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    one, two = cluster.node(2), cluster.node(1)
    cluster.submit(client, "job", [0])
    assert where(cluster) == (one, 1)
    cluster.down(one, 1, running=POISON)
    assert where(cluster) == (two, 1)


def test_else_to_another_worker_else_to_the_same_seat(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.node(2)
    cluster.submit(client, "job", [0])
    cluster.down(node, 1, running=POISON)
    assert where(cluster) == (node, 2)
    cluster.down(node, 2, running=POISON)
    assert where(cluster) is None
    cluster.up(node, 2, epoch=1)
    assert where(cluster) == (node, 2)


def test_a_suspect_is_alone_until_it_ends(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.node(1)
    cluster.learn(client, node, 100)
    cluster.submit(client, "job", range(10))
    cluster.down(node, 1, running=POISON)
    cluster.up(node, 1, epoch=1)
    worker = cluster.state.nodes[node].workers[1]
    assert cluster.leased(node) == [POISON]
    assert worker.state is WorkerState.ALONE
    cluster.submit(client, "job", range(10, 20))
    assert cluster.leased(node) == [POISON]
    cluster.finish(node, 1, POISON)
    assert len(cluster.leased(node)) == 19


def test_its_place_is_kept_free_while_others_work(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    one, two = cluster.node(1), cluster.node(1)
    cluster.learn(client, one, 20_000)
    cluster.submit(client, "job", range(50))
    assert where(cluster) == (two, 1) or where(cluster) == (one, 1)
    seat = where(cluster)
    assert seat is not None
    other = two if seat[0] == one else one
    cluster.down(seat[0], 1, running=POISON)
    assert where(cluster) is None
    held = cluster.leased(other)
    for ref in held[:-1]:
        cluster.finish(other, 1, ref, duration_us=20_000)
    assert cluster.leased(other) == held[-1:]
    cluster.finish(other, 1, held[-1], duration_us=20_000)
    assert cluster.leased(other) == [POISON]


def test_after_a_while_any_idle_worker_will_do(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    one, two = cluster.node(1), cluster.node(1)
    cluster.submit(client, "job", range(2))
    seat = where(cluster)
    assert seat is not None
    cluster.down(seat[0], 1, running=POISON)
    cluster.up(seat[0], 1, epoch=1)
    assert where(cluster) is None
    assert cluster.ready.wake_at == cluster.now + PATIENCE_S
    cluster.wait(PATIENCE_S)
    assert where(cluster) == seat
    assert {one, two} == set(cluster.state.nodes)


def test_a_paused_job_keeps_its_suspects_waiting(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    node = cluster.node(2)
    cluster.submit(client, "job", range(2))
    cluster.finish(node, 2, TaskRef("job", 0, 1), result=bytes(limits.CREDIT_BYTES + 1))
    cluster.down(node, 1, running=POISON)
    assert where(cluster) is None
    cluster.acknowledge(client, "job", 1)
    assert where(cluster) == (node, 2)


def test_a_suspect_without_any_worker_waits(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    one = cluster.node(2)
    cluster.submit(client, "job", range(2))
    cluster.down(one, 1, running=POISON)
    cluster.down(one, 2, running=TaskRef("job", 0, 1))
    cluster.up(one, 1, epoch=1)
    assert cluster.leased(one) == [POISON]
    assert cluster.scheduler.statistics().tasks_waiting == 1


def test_of_workers_alike_the_first_has_it(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    one, two = cluster.node(1), cluster.node(2)
    cluster.submit(client, "job", [0])
    cluster.down(one, 1, running=POISON)
    assert where(cluster) == (two, 1)


def test_a_job_over_its_bytes_keeps_no_worker_free_for_a_suspect(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.open(client, "other")
    node = cluster.node(2)
    cluster.submit(client, "job", [0, 1])
    for channel in (1, 2):
        cluster.down(node, channel, running=TaskRef("job", 0, channel - 1))
    cluster.submit(client, "other", [0])
    monkeypatch.setattr(limits, "CREDIT_BYTES", 0)
    ups = [WorkerUp(channel, f"w{channel}", 1, 3, ["luajit"]) for channel in (1, 2)]
    cluster.step(*(Received(node, Frame(0, up)) for up in ups))
    assert cluster.leased(node, 1) == [TaskRef("other", 0, 0)]
    assert cluster.leased(node, 2) == [POISON], "not where it was before"
