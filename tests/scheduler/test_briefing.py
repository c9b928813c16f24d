from __future__ import annotations

from typing import Any

from midas_mp.scheduler import briefing
from midas_mp.wire.messages import BeginJob, PutBundle, RunTasks

DIGEST = "d" * 64


def test_a_node_hears_of_a_job_and_its_bundle_once_before_its_first_task(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(2)
    cluster.submit(client, cluster.open(client), range(2))
    kinds = [type(message) for message in cluster.read(node)[1:]]
    assert kinds == [BeginJob, PutBundle, RunTasks, RunTasks]


def test_a_node_may_hear_of_a_job_without_a_bundle(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.state.jobs[cluster.open(client)]
    record = cluster.state.nodes[node]
    assert briefing.begin(cluster.state, record, job) == set()
    briefing.prepare(cluster.state, record, job, DIGEST)
    briefing.prepare(cluster.state, record, job, DIGEST)
    assert briefing.begin(cluster.state, record, job) == {DIGEST}
    cluster.heard.clear()
    cluster.step()
    assert [type(message) for message in cluster.read(node)] == [BeginJob, PutBundle]


def test_a_node_that_comes_back_hears_it_again(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0])
    cluster.lose(node)
    again = cluster.node(1, node_id="2")
    assert [type(message) for message in cluster.read(again)[1:]] == [BeginJob, PutBundle, RunTasks]
