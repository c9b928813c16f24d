from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.framing import CONTROL_CHANNEL, Frame, encode_all
from midas_mp.wire.management import (
    Action,
    Control,
    JobReport,
    JobsListed,
    ListJobs,
    ListNodes,
    NodeReport,
    NodesListed,
)
from midas_mp.wire.messages import Acknowledge, JobSpec, OpenJob, WorkerUp


def ask(cluster: Any, client: int) -> list[NodesListed]:
    cluster.say(client, ListNodes())
    return cluster.read_only(client, NodesListed)


def test_nobody_is_there(cluster: Any) -> None:
    cluster.greet(workers_announced=2)  # none of them is registered
    assert ask(cluster, cluster.client()) == [NodesListed([], is_last=True)]


def test_nodes_are_told_with_what_all_their_workers_have(cluster: Any) -> None:
    two = cluster.greet(name="two", release="0.9", workers_announced=2)
    cluster.say(two, WorkerUp(1, "two-001", 0, 3, ["luajit", "lua5.4"], [], "clock, jit"))
    cluster.say(two, WorkerUp(2, "two-002", 0, 1, ["luajit"], [], "clock, jit"))
    cluster.node(1, name="one")
    (answer,) = ask(cluster, cluster.client())
    assert answer.nodes == [
        NodeReport("one", "1.2.3", 1, 0, 3, ["luajit"], ""),
        NodeReport("two", "0.9", 2, 0, 1, ["luajit"], "clock, jit"),
    ]


def test_workers_with_tasks_are_counted(cluster: Any) -> None:
    cluster.node(2)
    client = cluster.client()
    cluster.submit(client, cluster.open(client), [0])
    (answer,) = ask(cluster, client)
    assert [(node.workers, node.busy) for node in answer.nodes] == [(2, 1)]


def test_workers_that_stand_still_are_counted(cluster: Any) -> None:
    cluster.node(2, name="lab")
    client = cluster.client()
    for target, paused in (("lab-001", 1), ("lab", 2)):
        cluster.say(client, Control(Action.PAUSE, target))
        (answer,) = ask(cluster, client)
        assert [node.paused for node in answer.nodes] == [paused]


def test_many_nodes_are_told_in_parts_that_fit_a_header(cluster: Any) -> None:
    count = 2 * limits.NODES_PER_REPORT_MAX + 1
    engines = [f"{'e' * 126}{number:02}" for number in range(20)]
    permits = "\N{HOT BEVERAGE}" * limits.PERMITS_CHARACTERS_MAX
    for number in range(count):
        node = cluster.greet(name=f"{number:03}{'n' * 125}", workers_announced=1)
        cluster.say(node, WorkerUp(1, "w", 0, 3, engines, [], permits))
    parts = ask(cluster, cluster.client())
    assert [len(part.nodes) for part in parts] == [16, 16, 1]
    assert [part.is_last for part in parts] == [False, False, True]
    assert [node.name[:3] for part in parts for node in part.nodes] == sorted(
        f"{number:03}" for number in range(count)
    )
    for part in parts:
        encode_all([Frame(CONTROL_CHANNEL, part)])


def test_jobs_are_told_as_they_are(cluster: Any) -> None:
    ann, bob = cluster.client(name="ann"), cluster.client(name="bob")
    cluster.open(ann, "a")
    cluster.open(bob, "b", engine="lua5.4")
    cluster.node(1)
    cluster.submit(ann, "a", range(3))
    cluster.say(ann, Control(Action.PAUSE, "a"))
    cluster.say(bob, ListJobs())
    (answer,) = cluster.read_only(bob, JobsListed)
    assert answer.is_last
    assert answer.jobs == [
        JobReport("a", "primes", "ann", "paused", 2, 1, 0),
        JobReport("b", "primes", "bob", "queued", 0, 0, 0),
    ]


def test_many_jobs_are_told_in_parts_that_fit_a_header(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "JOBS_PER_CLIENT_MAX", limits.JOBS_PER_REPORT_MAX + 1)
    client = cluster.client(name="c" * 128)
    title = "\N{HOT BEVERAGE}" * 256
    for number in range(limits.JOBS_PER_REPORT_MAX + 1):
        cluster.say(client, OpenJob(f"{number:x<128}", title, JobSpec()))
    cluster.say(client, ListJobs())
    parts = cluster.read_only(client, JobsListed)
    assert [len(part.jobs) for part in parts] == [limits.JOBS_PER_REPORT_MAX, 1]
    for part in parts:
        encode_all([Frame(CONTROL_CHANNEL, part)])


def test_what_is_done_counts_though_it_is_safe_with_the_client(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.open(client)
    cluster.submit(client, "job", range(4))
    (first, *_) = cluster.leased(node)
    cluster.finish(node, 1, first)
    cluster.say(client, ListJobs())
    assert cluster.read_only(client, JobsListed)[-1].jobs[0].done == 1
    cluster.say(client, Acknowledge("job", 0, [first.index]))
    cluster.say(client, ListJobs())
    assert cluster.read_only(client, JobsListed)[-1].jobs[0].done == 1
