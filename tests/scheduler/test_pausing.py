"""What is paused; the rules themselves are in ``transcripts/pausing.txt``."""

from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.management import (
    Action,
    Control,
    ControlAnswered,
    ControlResult,
    PauseJob,
    PauseWorker,
)
from midas_mp.wire.messages import BeginJob, EndJob, Goodbye, RunTasks, TaskRef


@pytest.fixture
def admin(cluster: Any) -> int:
    return cluster.client()


def pause(cluster: Any, admin: int, target: str, *, is_paused: bool = True) -> bool:
    """Whether it was done."""
    cluster.say(admin, Control(Action.PAUSE if is_paused else Action.RESUME, target))
    (answer,) = cluster.read_only(admin, ControlAnswered)
    return answer.result is ControlResult.DONE


def test_a_job_may_be_paused_before_it_starts(cluster: Any, admin: int) -> None:
    client = cluster.client()
    job = cluster.open(client)
    assert pause(cluster, admin, job)
    node = cluster.node(1)
    cluster.submit(client, job, [0])
    assert cluster.read_only(node, RunTasks) == []
    assert pause(cluster, admin, job, is_paused=False)
    assert len(cluster.read_only(node, RunTasks)) == 1


def test_what_is_said_twice_is_done_once(cluster: Any, admin: int) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    for target in (job, cluster.state.nodes[node].name):
        for is_paused in (True, True, False, False):
            assert pause(cluster, admin, target, is_paused=is_paused)
    heard = [m for m in cluster.read(node) if isinstance(m, PauseJob | PauseWorker)]
    assert heard == [
        PauseJob(job, is_paused=True),
        PauseJob(job, is_paused=False),
        PauseWorker(is_paused=True),
        PauseWorker(is_paused=False),
    ]


def test_a_node_that_comes_back_with_tasks_of_a_paused_job_hears_of_it(
    cluster: Any, admin: int
) -> None:
    client, node = cluster.client(), cluster.node(1, node_id="abc")
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    pause(cluster, admin, job)
    cluster.lose(node)
    again = cluster.greet(node_id="abc")
    cluster.up(again, 1, held=[TaskRef(job, 0, 0)])
    heard = cluster.read(again)
    assert [m for m in heard if isinstance(m, BeginJob | PauseJob)] == [
        heard[1],
        PauseJob(job, is_paused=True),
    ]
    assert cluster.leased(again) == [TaskRef(job, 0, 0)]


def test_a_job_that_ends_leaves_no_pause_behind(cluster: Any, admin: int) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    pause(cluster, admin, job)
    cluster.say(client, EndJob(job))
    assert not cluster.state.paused
    cluster.give_back(node, 1, TaskRef(job, 0, 0))
    cluster.open(client)
    cluster.submit(client, job, [0])
    assert cluster.leased(node) == [TaskRef(job, 0, 0)]


def test_a_worker_of_a_paused_node_can_go_on_alone(cluster: Any, admin: int) -> None:
    node = cluster.node(3, name="lab")
    pause(cluster, admin, "lab")
    pause(cluster, admin, "lab-002", is_paused=False)
    workers = cluster.state.nodes[node].workers
    assert [workers[channel].is_paused for channel in (1, 2, 3)] == [True, False, True]
    pause(cluster, admin, "lab", is_paused=False)
    assert not any(worker.is_paused for worker in workers.values())


def test_who_is_away_can_be_let_go_on(cluster: Any, admin: int) -> None:
    node = cluster.node(1, name="lab", node_id="abc")
    pause(cluster, admin, "lab")
    cluster.lose(node)
    assert pause(cluster, admin, "lab", is_paused=False)
    assert not pause(cluster, admin, "lab", is_paused=False), "it is not known any more"
    again = cluster.node(1, name="lab", node_id="abc")
    assert cluster.read_only(again, PauseWorker) == []


def test_a_node_that_is_away_can_be_let_go_on_with_all_its_workers(
    cluster: Any, admin: int
) -> None:
    node = cluster.node(2, name="lab", node_id="abc")
    pause(cluster, admin, "lab")
    pause(cluster, admin, "lab-002", is_paused=False)
    cluster.lose(node)
    assert pause(cluster, admin, "lab", is_paused=False)
    again = cluster.node(2, name="lab", node_id="abc")
    assert cluster.read_only(again, PauseWorker) == []
    assert not cluster.state.paused


def test_who_comes_back_under_another_name_goes_on_under_either(cluster: Any, admin: int) -> None:
    for name in ("lab", "lab-2"):
        node = cluster.node(1, name="lab", node_id="abc")
        pause(cluster, admin, "lab")
        cluster.lose(node)
        other = cluster.node(1, name="lab", node_id="def")
        node = cluster.node(1, name="lab", node_id="abc")
        assert cluster.read_only(node, PauseWorker) == [PauseWorker(is_paused=True)]
        if name == "lab":
            cluster.say(other, Goodbye("away"))
        assert pause(cluster, admin, name, is_paused=False)
        assert cluster.read_only(node, PauseWorker) == [PauseWorker(is_paused=False)]
        for peer in (node, other):
            if peer in cluster.state.nodes:
                cluster.say(peer, Goodbye("away"))


def test_who_leaves_for_good_is_forgotten(cluster: Any, admin: int) -> None:
    node = cluster.node(1, name="lab")
    pause(cluster, admin, "lab")
    pause(cluster, admin, "lab-001")
    cluster.say(node, Goodbye("done"))
    assert not cluster.state.paused


def test_of_many_that_were_lost_the_first_are_forgotten(
    cluster: Any, admin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAUSED_ABSENT_MAX", 2)
    names = ("first", "second", "third")
    nodes = {name: cluster.node(1, name=name, node_id=name) for name in (*names, "here")}
    for name in nodes:
        pause(cluster, admin, name)
    pause(cluster, admin, "first-001")
    for name in names:
        cluster.lose(nodes[name])
    for name, is_paused in (("first", False), ("second", True), ("third", True)):
        again = cluster.node(1, name=name, node_id=name)
        assert cluster.state.nodes[again].workers[1].is_paused == is_paused
    assert cluster.state.nodes[nodes["here"]].workers[1].is_paused
    assert not cluster.state.paused.absent


def test_a_suspect_waits_for_a_worker_that_is_not_paused(cluster: Any, admin: int) -> None:
    client, first, second = cluster.client(), cluster.node(1), cluster.node(1)
    job = cluster.open(client)
    pause(cluster, admin, cluster.state.nodes[second].name)
    cluster.submit(client, job, [0])
    cluster.down(first, 1, running=TaskRef(job, 0, 0))
    assert cluster.leased(second) == []
    pause(cluster, admin, cluster.state.nodes[second].name, is_paused=False)
    assert cluster.leased(second) == [TaskRef(job, 0, 0)]
