"""What is killed; the rules themselves are in ``transcripts/killing.txt``."""

from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.management import Action, Control, KillWorker
from midas_mp.wire.messages import (
    BeginJob,
    EndJob,
    Goodbye,
    JobEnded,
    NodeLeaving,
    OfferShared,
    Refused,
    Role,
    RunTasks,
    SharedHeld,
    SharedPart,
    TaskRef,
    Welcome,
    WorkerDown,
)


@pytest.fixture
def admin(cluster: Any) -> int:
    return cluster.client(name="admin")


def kill(cluster: Any, admin: int, target: str) -> None:
    cluster.say(admin, Control(Action.KILL, target))


def test_a_task_whose_worker_is_killed_again_and_again_is_not_to_blame(
    cluster: Any, admin: int
) -> None:
    client, node = cluster.client(), cluster.node(1, name="lab")
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    for epoch in range(limits.ATTEMPTS_MAX + 1):
        cluster.read(node)
        kill(cluster, admin, "lab-001")
        assert cluster.read(node) == [KillWorker(epoch, "killed by admin")]
        cluster.down(node, 1, epoch)
        cluster.up(node, 1, epoch + 1)
        assert cluster.leased(node) == [TaskRef(job, 0, 0)]
    assert not cluster.state.jobs[job].blames


def test_what_a_killed_node_had_is_no_loss(cluster: Any, admin: int) -> None:
    client, node = cluster.client(), cluster.node(2, name="lab")
    job = cluster.open(client)
    cluster.submit(client, job, [0, 1])
    cluster.read(node)
    kill(cluster, admin, "lab")
    assert cluster.read(node) == [Goodbye("killed by admin", "killed")]
    assert cluster.dropped == {node: "killed by admin"}
    assert not cluster.state.jobs[job].blames
    figures = cluster.scheduler.statistics()
    assert (figures.losses, figures.retries, figures.tasks_waiting) == (0, 0, 2)
    other = cluster.node(2)
    assert [len(cluster.leased(other, channel)) for channel in (1, 2)] == [1, 1]


def test_what_a_killed_node_still_says_is_not_heard(cluster: Any, admin: int) -> None:
    node = cluster.node(1, name="lab")
    kill(cluster, admin, "lab")
    cluster.say(node, WorkerDown(1, 0, "too late"))
    cluster.lose(node)
    assert cluster.node(1, name="lab") in cluster.state.nodes, "another participant is welcome"


def test_a_node_that_is_leaving_can_be_killed(cluster: Any, admin: int) -> None:
    node = cluster.node(1, name="lab")
    cluster.say(node, NodeLeaving("draining", 30))
    kill(cluster, admin, "lab")
    assert not cluster.state.nodes


def test_of_many_that_were_killed_the_first_are_forgotten(
    cluster: Any, admin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KILLED_MAX", 2)
    names = ("first", "second", "third")
    for name in names:
        cluster.node(1, name=name, node_id=name)
        kill(cluster, admin, name)
    answers = [type(cluster.read(cluster.greet(node_id=name))[0]) for name in names]
    assert answers == [Welcome, Refused, Refused]


def test_a_job_that_is_killed_before_it_starts_never_does(cluster: Any, admin: int) -> None:
    client = cluster.client()
    job = cluster.open(client)
    kill(cluster, admin, job)
    assert cluster.read_only(client, JobEnded) == [JobEnded(job, "killed", "killed by admin")]
    node = cluster.node(1)
    assert cluster.read_only(node, BeginJob) == []


def test_shared_data_of_a_killed_job_that_are_on_their_way_are_nobodys_fault(
    cluster: Any, admin: int
) -> None:
    client, node = cluster.client(node_id="c"), cluster.node(1, node_id="d")
    bulk = cluster.greet(Role.BULK, node_id="c")
    job = cluster.open(client)
    cluster.say(client, OfferShared(job, 0, [10]))
    kill(cluster, admin, job)
    cluster.say(bulk, SharedPart(job, 0, 0), [b"01234"])
    cluster.say(node, SharedHeld(job, 0, "d", 5))
    assert bulk in cluster.state.bulks
    assert node in cluster.state.nodes


def test_a_node_that_was_away_is_told_that_its_job_was_killed(cluster: Any, admin: int) -> None:
    client, node = cluster.client(), cluster.node(1, node_id="abc")
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    cluster.lose(node)
    kill(cluster, admin, job)
    again = cluster.greet(node_id="abc")
    cluster.up(again, 1, held=[TaskRef(job, 0, 0)])
    assert [m.job for m in cluster.read_only(again, EndJob)] == [job]
    cluster.down(again, 1)
    cluster.up(again, 1, 1)
    assert cluster.leased(again) == []


def test_others_can_work_where_a_killed_job_was_at_work(cluster: Any, admin: int) -> None:
    client, node = cluster.client(), cluster.node(1)
    job, other = cluster.open(client), cluster.open(client, "other")
    cluster.submit(client, job, [0])
    cluster.submit(client, other, [0])
    kill(cluster, admin, job)
    cluster.read(node)
    cluster.down(node, 1)
    cluster.up(node, 1, 1)
    assert [m.job for m in cluster.read_only(node, RunTasks)] == [other]
