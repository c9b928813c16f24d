"""What a client says of its bundles leaves the host with those, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.messages import DropBundles, OpenJob, PutBundle, TaskRef

MAIN, B, C = ("d" * 64, "b" * 64, "c" * 64)


def test_a_job_keeps_what_was_put_until_it_is_dropped(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.state.jobs[cluster.open(client)]
    for digest in (B, C, B):
        cluster.say(client, PutBundle("job", digest, "x.lua", []), [b"-- lua"])
    assert list(job.bundles.frames) == [MAIN, B, C]
    cluster.say(client, DropBundles("job", [B, MAIN, "e" * 64]))
    assert list(job.bundles.frames) == [C]
    assert cluster.dropped == {}


def test_thousands_that_come_and_go_leave_nothing(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node()
    job = cluster.state.jobs[cluster.open(client)]
    for index in range(2_000):
        digest = f"{index:064x}"
        cluster.submit(client, "job", [0], digest=digest, round_=index)
        cluster.finish(node, 1, TaskRef("job", index, 0))
        cluster.acknowledge(client, "job", 0, round_=index)
        cluster.say(client, DropBundles("job", [digest]))
    assert list(job.bundles.frames) == [MAIN]
    assert (job.rounds, job.task_count, job.size_bytes) == ({}, 0, 0)


def test_what_an_open_task_needs_cannot_be_dropped(cluster: Any) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.submit(client, "job", [0], digest=B)
    cluster.say(client, DropBundles("job", [MAIN, B]))
    assert cluster.dropped == {client: f"job job: a task is open that needs bundle {B}"}


def test_a_client_that_comes_back_says_what_it_still_has(cluster: Any) -> None:
    client = cluster.client(node_id="c1")
    job = cluster.state.jobs[cluster.open(client)]
    cluster.submit(client, "job", [0], digest=B)
    cluster.say(client, PutBundle("job", C, "x.lua", []), [b"-- lua"])
    cluster.lose(client)
    again = cluster.client(node_id="c1")
    cluster.say(again, OpenJob("job", "primes", job.spec))
    assert list(job.bundles.frames) == [B], "its task may begin before the client has said more"


def test_a_job_that_was_refused_or_ended_has_no_bundles_to_drop(cluster: Any) -> None:
    first, second = cluster.client(), cluster.client()
    cluster.open(first)
    cluster.open(second)
    cluster.say(second, DropBundles("job", [MAIN]))
    assert list(cluster.state.jobs["job"].bundles.frames) == [MAIN]
    assert cluster.dropped == {}


def test_who_says_more_than_a_host_keeps_is_dropped(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX_HOST", 2 * limits.MB)
    client = cluster.client()
    cluster.open(client)
    most = 2 * limits.MB - 3 * limits.BUNDLE_BYTES_EXTRA - len(b"-- lua")
    cluster.say(client, PutBundle("job", B, "x.lua", []), [b"x" * most])
    cluster.say(client, DropBundles("job", [MAIN]))
    cluster.say(client, PutBundle("job", MAIN, "job.lua", []), [b"-- lua"])
    cluster.say(client, PutBundle("job", MAIN, "job.lua", []), [b"-- lua"])
    assert cluster.dropped == {}
    cluster.say(client, PutBundle("job", C, "x.lua", []), [b"x"])
    assert cluster.dropped == {client: "job job: over 2 MB of Lua sources"}


def test_one_bundle_may_be_as_large_as_a_frame(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUNDLES_BYTES_MAX_HOST", 1)
    client = cluster.client()
    cluster.open(client)
    cluster.say(client, DropBundles("job", [MAIN]))
    cluster.say(client, PutBundle("job", B, "x.lua", []), [b"xx"])
    assert cluster.dropped == {}
