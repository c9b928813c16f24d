from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.scheduler import briefing
from midas_mp.wire.messages import BeginJob, DropBundles, PutBundle, RunTasks, TaskRef

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
    assert list(briefing.begin(cluster.state, record, job)) == []
    briefing.prepare(cluster.state, record, job, DIGEST)
    briefing.prepare(cluster.state, record, job, DIGEST)
    assert list(briefing.begin(cluster.state, record, job)) == [DIGEST]
    cluster.heard.clear()
    cluster.step()
    assert [type(message) for message in cluster.read(node)] == [BeginJob, PutBundle]


def test_a_node_that_comes_back_hears_it_again(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    cluster.submit(client, cluster.open(client), [0])
    cluster.lose(node)
    again = cluster.node(1, node_id="2")
    assert [type(message) for message in cluster.read(again)[1:]] == [BeginJob, PutBundle, RunTasks]


def test_a_node_keeps_the_bundles_of_its_leases_and_few_others(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", 4 * limits.KB)
    a, b, c, d, e, f = (letter * 64 for letter in "abcdef")
    client, node = cluster.client(), cluster.node(2)
    cluster.open(client)
    for index, digest in enumerate([a, b, c, d, b]):
        cluster.submit(client, "job", [index], digest=digest)
        if digest is not a:
            cluster.finish(node, 2, TaskRef("job", 0, index))
    told = [m for m in cluster.read(node) if isinstance(m, PutBundle | DropBundles | RunTasks)]
    assert [getattr(m, "digest", m) for m in told] == [
        *(a, a),
        *(b, b),
        *(c, c),
        *(d, DropBundles("job", [b, c]), d),
        *(b, b),
    ]
    cluster.finish(node, 1, TaskRef("job", 0, 0))
    for index, digest in [(5, e), (6, f)]:
        cluster.submit(client, "job", [index], digest=digest)
        cluster.finish(node, 1, TaskRef("job", 0, index))
    assert cluster.read_only(node, DropBundles) == [DropBundles("job", [a, d, b, e])]


def test_each_node_has_its_own_and_the_host_has_all(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", limits.KB)
    client, node = cluster.client(), cluster.node()
    cluster.open(client)
    for index, digest in enumerate(["a" * 64, "b" * 64, "c" * 64]):
        cluster.submit(client, "job", [index], digest=digest)
        if index < 2:
            cluster.finish(node, 1, TaskRef("job", 0, index))
    assert cluster.read_only(node, DropBundles) == [DropBundles("job", ["a" * 64, "b" * 64])]
    other = cluster.node()
    cluster.submit(client, "job", [3], digest="a" * 64)
    assert [m.digest for m in cluster.read_only(other, PutBundle)] == ["a" * 64]


def test_the_bundle_of_a_copy_is_kept(cluster: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX", 1)
    client, slow, quick = cluster.client(), cluster.node(1), cluster.node(1)
    cluster.open(client)
    cluster.submit(client, "job", [90, 91], round_=9)
    for node, took_us in ((slow, 10_000_000), (quick, 1_000_000)):
        cluster.finish(node, 1, *cluster.leased(node), duration_us=took_us)
    cluster.submit(client, "job", [0], digest="a" * 64)
    cluster.submit(client, "job", [1], digest="b" * 64)
    (ref,) = cluster.leased(quick)
    cluster.heard.clear()
    cluster.finish(quick, 1, ref, duration_us=1_000_000)
    cluster.wait(0.05)
    (frame,) = cluster.read_only(quick, RunTasks)
    shelf = cluster.state.nodes[quick].begun["job"]
    assert frame.digest in shelf
    assert cluster.state.nodes[quick].workers[1].orphans
