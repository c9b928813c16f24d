from __future__ import annotations

from typing import Any

import pytest

from midas_mp import limits
from midas_mp.wire.messages import (
    PROTOCOL_VERSION,
    EndJob,
    Goodbye,
    JobOpened,
    JobSpec,
    JobStarted,
    JobStatus,
    OfferShared,
    OpenJob,
    PutBundle,
    Role,
    RunTasks,
    SharedPart,
    TaskPrinted,
    TaskProgress,
    TaskResults,
    TaskRunning,
    Welcome,
)


def test_clients_may_share_a_name(cluster: Any) -> None:
    for _ in range(2):
        peer = cluster.client(name="laptop")
        assert cluster.read(peer) == [Welcome(PROTOCOL_VERSION, "1.2.3", "laptop", 0)]


def test_a_client_without_a_job_is_forgotten(cluster: Any) -> None:
    client = cluster.client()
    cluster.lose(client)
    assert cluster.state.away == {}
    assert cluster.ready.wake_at is None


def test_the_job_of_a_client_that_is_away_starts_and_goes_on(cluster: Any) -> None:
    client = cluster.client()
    job = cluster.open(client)
    cluster.submit(client, job, range(3))
    cluster.lose(client)
    cluster.heard.clear()
    node = cluster.node(1)
    assert cluster.read_only(node, RunTasks)
    while refs := cluster.leased(node):
        cluster.finish(node, 1, *refs)
    assert client not in cluster.heard
    assert cluster.scheduler.statistics().tasks_done == 3


def test_a_client_that_comes_back_hears_what_it_missed_in_order(cluster: Any) -> None:
    client, node = cluster.client(node_id="abc"), cluster.node(1)
    job = cluster.open(client)
    cluster.submit(client, job, range(2))
    cluster.lose(client)
    cluster.say(node, TaskPrinted(job, 0, 0, "w"), [b"hello"], 1)
    cluster.say(node, TaskProgress(job, 0, 0, 0.5), channel=1)
    cluster.say(node, TaskRunning(job, 0, 0, "w", 5.0), channel=1)
    cluster.finish(node, 1, *cluster.leased(node)[:1])
    again = cluster.client(node_id="abc")
    assert cluster.read(again) == [Welcome(PROTOCOL_VERSION, "1.2.3", f"client{again}", 1)]
    cluster.say(again, OpenJob(job, "primes", JobSpec()))
    opened, started, printed, result = cluster.read(again)
    credit = limits.CREDIT_TASKS + limits.CREDIT_TASKS_PER_WORKER
    assert opened == JobOpened(job, credit, limits.CREDIT_BYTES)
    assert started == JobStarted(job, 1)
    assert printed == TaskPrinted(job, 0, 0, "w")
    assert isinstance(result, TaskResults)
    assert [outcome.index for outcome in result.outcomes] == [0]
    cluster.acknowledge(again, job, 0)
    cluster.finish(node, 1, *cluster.leased(node))
    assert [type(message) for message in cluster.read(again)] == [TaskResults]


def test_a_queued_job_is_told_of_the_workers_that_came_meanwhile(cluster: Any) -> None:
    client = cluster.client(node_id="abc")
    cluster.open(client, workers_min=3)
    cluster.lose(client)
    cluster.node(2)
    again = cluster.client(node_id="abc")
    cluster.open(again, workers_min=3)
    (status,) = cluster.read_only(again, JobStatus)
    assert status.workers == 2


def test_a_newer_connection_replaces_one_that_seems_alive(cluster: Any) -> None:
    old, node = cluster.client(node_id="abc"), cluster.node(1)
    job = cluster.open(old)
    cluster.submit(old, job, [0])
    cluster.heard.clear()
    new = cluster.client(node_id="abc")
    reason = "replaced by a newer connection of the same client"
    assert cluster.read(old) == [Goodbye(reason, "replaced")]
    assert cluster.dropped == {old: reason}
    cluster.finish(node, 1, *cluster.leased(node))
    cluster.heard.pop(new)
    assert new not in cluster.heard, "nothing is said of a job before it is opened again"
    cluster.open(new)
    assert len(cluster.read_only(new, TaskResults)) == 1
    assert cluster.scheduler.statistics().clients == 1


def test_patience_ends(cluster: Any) -> None:
    client, node = cluster.client(), cluster.node(1)
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    cluster.lose(client)
    cluster.heard.clear()
    assert cluster.ready.wake_at is not None
    cluster.wait(limits.CLIENT_PATIENCE_S - 1)
    assert list(cluster.state.jobs) == [job]
    cluster.wait(1)
    reason = "its client did not come back within 60 s"
    assert cluster.read(node) == [EndJob(job, reason)]
    assert cluster.notices[-1] == f"job job (primes) ended: {reason}"
    assert cluster.state.jobs == cluster.state.away == {}


def test_a_job_that_its_client_does_not_open_again_ends_too(cluster: Any) -> None:
    client = cluster.client(node_id="abc")
    cluster.open(client, "wanted")
    cluster.open(client, "forgotten")
    cluster.lose(client)
    again = cluster.client(node_id="abc")
    cluster.open(again, "wanted")
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert list(cluster.state.jobs) == ["wanted"]
    assert list(cluster.state.clients) == [again]


@pytest.mark.parametrize("is_orderly", [True, False])
def test_who_leaves_for_good_is_not_waited_for(cluster: Any, is_orderly: bool) -> None:
    client = cluster.client()
    cluster.open(client)
    cluster.say(client, Goodbye("done") if is_orderly else JobStarted("job", 1))
    assert cluster.state.jobs == cluster.state.away == {}


def test_a_job_must_be_opened_again_before_anything_is_said_about_it(cluster: Any) -> None:
    client = cluster.client(node_id="abc")
    job = cluster.open(client)
    cluster.lose(client)
    again = cluster.client(node_id="abc")
    cluster.submit(again, job, [0])
    assert cluster.dropped == {again: "no open job job"}


def test_a_job_that_ended_while_the_client_was_away_can_be_closed(cluster: Any) -> None:
    client, node = cluster.client(node_id="abc"), cluster.node(1)
    job = cluster.open(client)
    cluster.submit(client, job, [0])
    cluster.lose(client)
    again = cluster.client(node_id="abc")
    cluster.say(again, EndJob(job, "Ctrl-C"))
    assert cluster.state.jobs == {}
    assert cluster.read_only(node, EndJob) == [EndJob(job, "Ctrl-C")]


def test_connections_of_clients_are_counted_within_a_limit(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EPOCHS_MAX", 2)
    for node_id, epoch in (("a", 0), ("a", 1), ("b", 0), ("a", 2), ("c", 0), ("b", 0)):
        client = cluster.client(node_id=node_id)
        (welcome,) = cluster.read(client)
        assert welcome.epoch == epoch
        cluster.lose(client)


def test_who_comes_back_without_asking_for_the_job_gains_no_time_for_it(cluster: Any) -> None:
    client = cluster.client(node_id="c1")
    cluster.open(client)
    cluster.lose(client)
    cluster.wait(limits.CLIENT_PATIENCE_S - 1)
    cluster.lose(cluster.client(node_id="c1"))
    assert list(cluster.state.jobs) == ["job"]
    cluster.wait(1)
    assert cluster.state.jobs == {}


def leave_a_job(cluster: Any, job: str, *, tasks: int = 0, payload: bytes = b"payload") -> str:
    """A client that is away, and what it has to come back for; its node id."""
    client = cluster.client(node_id=f"{len(cluster.state.jobs) + 100:x}")
    cluster.open(client, job)
    if tasks:
        cluster.submit(client, job, range(tasks), payload=payload)
    node_id = cluster.state.clients[client].node_id
    cluster.lose(client)
    cluster.now += 1
    return str(node_id)


LONGEST_AWAY = "its client is away for longest"


def test_of_too_many_jobs_of_clients_that_are_away_the_longest_waiting_end(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AWAY_JOBS_MAX", 2)
    here = cluster.client()
    cluster.open(here, "here")
    for name in "abc":
        leave_a_job(cluster, name)
    cluster.step()
    assert list(cluster.state.jobs) == ["here", "b", "c"]
    assert f"job a (primes) ended: {LONGEST_AWAY}, and the host" in cluster.notices[-1]
    assert "no more than 2 jobs and 2048 MB" in cluster.notices[-1]


@pytest.mark.parametrize("what", ["payloads", "tasks", "bundles", "shared data", "results"])
def test_of_too_many_bytes_for_clients_that_are_away_the_longest_waiting_go(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(limits, "AWAY_BYTES_MAX", 100_000)
    if what == "results":
        node = cluster.node(1)
    client = cluster.client(node_id="abc")
    cluster.open(client, "old")
    match what:
        case "payloads":
            cluster.submit(client, "old", [0], payload=b"x" * 60_000)
        case "tasks":
            cluster.submit(client, "old", range(150), payload=b"")
        case "bundles":
            cluster.say(client, PutBundle("old", "e" * 64, "main.lua", []), [b"x" * 60_000])
        case "shared data":
            bulk = cluster.greet(Role.BULK, node_id="abc")
            cluster.say(client, OfferShared("old", 0, [60_000]))
            cluster.say(bulk, SharedPart("old", 0, 0), [b"x" * 60_000])
        case "results":
            cluster.submit(client, "old", [0])
    cluster.lose(client)
    if what == "results":
        cluster.finish(node, 1, *cluster.leased(node), result=b"x" * 60_000)
    cluster.now += 1
    leave_a_job(cluster, "small", tasks=1)
    assert list(cluster.state.jobs) == ["old", "small"]
    leave_a_job(cluster, "large", tasks=1, payload=b"y" * 60_000)
    cluster.step()
    assert list(cluster.state.jobs) == ["small", "large"]


def test_a_client_that_comes_back_too_late_for_that_begins_anew(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AWAY_JOBS_MAX", 1)
    node_id = leave_a_job(cluster, "a", tasks=3)
    leave_a_job(cluster, "b")
    cluster.step()
    again = cluster.client(node_id=node_id)
    cluster.open(again, "a")
    cluster.submit(again, "a", range(3))
    assert len(cluster.leased(cluster.node(1))) > 0


def test_a_client_that_is_here_may_keep_what_the_others_may_not(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AWAY_BYTES_MAX", 1_000)
    client = cluster.client()
    cluster.open(client)
    cluster.submit(client, "job", [0], payload=b"x" * 2_000)
    cluster.step()
    assert "job" in cluster.state.jobs


def test_prints_of_clients_that_are_away_have_one_limit_together(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKLOGS_BYTES_MAX", 1_500)
    node = cluster.node(1)
    ids = {job: leave_a_job(cluster, job, tasks=1) for job in ("a", "b")}
    for job in ids:
        cluster.say(node, TaskPrinted(job, 0, 0, "w"), [job.encode() * 1_000], 1)
    assert cluster.state.backlogs.used_bytes < 1_500
    texts = []
    for job, node_id in ids.items():
        client = cluster.client(node_id=node_id)
        cluster.open(client, job)
        texts += [
            bytes(frame.buffers[0])
            for frame in cluster.heard[client]
            if isinstance(frame.message, TaskPrinted)
        ]
    note = b"... 1000 bytes of output were dropped: the client was away"
    assert texts == [note, b"b" * 1_000]
    assert cluster.state.backlogs.used_bytes == 0


def test_what_the_tasks_of_an_ended_job_printed_is_forgotten(cluster: Any) -> None:
    node = cluster.node(1)
    leave_a_job(cluster, "a", tasks=1)
    cluster.say(node, TaskPrinted("a", 0, 0, "w"), [b"hello"], 1)
    assert cluster.state.backlogs.used_bytes
    cluster.wait(limits.CLIENT_PATIENCE_S)
    assert (cluster.state.jobs, cluster.state.backlogs.used_bytes) == ({}, 0)
